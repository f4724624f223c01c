"""SimMIM pre-training of Swin V2-B for 800 epochs at 192 px, on pixels normalised by the window around them.

Paper:    Swin Transformer V2, https://arxiv.org/abs/2111.09883
Recipe:   https://github.com/microsoft/Swin-Transformer, simmim_pretrain__swinv2_base__img192_window12__800ep
Run:      bash tools/dist_train.sh configs/simmim_swinv2_base_800e.py 16 (on two machines; batch 2048 = 16 x 128)
Result:   none published for this very config. The authors' model hub has 85.0 % top-1 on ImageNet for 500,000
          iterations. To be fine-tuned at 224 px with windows of 14 and pretrained_window_sizes=[12, 12, 12, 6].

Windows of 12, but for the last stage, whose feature map is 6x6.
"""

_base_ = ['simmim_swin_base.py', '_base_/schedule_800e.py']

model = dict(
    backbone=dict(
        type='mmpretrain.SwinTransformerV2',
        window_size=[12, 12, 12, 6],
        drop_path_rate=0.1,
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
            dict(type='simmim_mm.ResPostNormInit'),
        ],
    ),
    head=dict(target=dict(norm='window', norm_size=47)),
)
train_dataloader = dict(batch_size=128)

optim_wrapper = dict(
    optimizer=dict(lr=4e-4),  # 1e-4 * 2048 / 512
    paramwise_cfg=dict(custom_keys={'cpb_mlp': dict(decay_mult=0.0), 'logit_scale': dict(decay_mult=0.0)}),
)
param_scheduler = _base_.schedule_800e
train_cfg = dict(max_epochs=800)
default_hooks = dict(checkpoint=dict(interval=20))
