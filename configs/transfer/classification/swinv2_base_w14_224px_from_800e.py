"""Fine-tuning of Swin V2-B on ImageNet at 224 px with windows of 14, pre-trained for 800 epochs at 192 px.

Paper:    Swin Transformer V2, https://arxiv.org/abs/2111.09883
Recipe:   https://github.com/microsoft/Swin-Transformer, simmim_finetune__swinv2_base__img224_window14__800ep
Weights:  python tools/export_backbone.py work_dirs/simmim_swinv2_base_800e/epoch_800.pth work_dirs/backbone.pth
              --to mmpretrain --window-size 14 14 14 7 --img-size 224
Run:      bash tools/dist_train.sh configs/transfer/classification/swinv2_base_w14_224px_from_800e.py 16
              --pretrained work_dirs/backbone.pth (on two machines; batch 2048 = 16 x 128)
Result:   none published for this very recipe.

Position biases come from a small network, which knows the windows of pre-training: nothing is resized.
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

model = dict(
    backbone=dict(
        type='SwinTransformerV2',
        window_size=[14, 14, 14, 7],
        pretrained_window_sizes=[12, 12, 12, 6],
    )
)
train_dataloader = dict(batch_size=128)

optim_wrapper = dict(
    paramwise_cfg=dict(
        layer_decay_rate=0.75,
        custom_keys={'cpb_mlp': dict(decay_mult=0.0), 'logit_scale': dict(decay_mult=0.0)},
    )
)
