"""SimMIM pre-training of the authors' ViT-B for 800 epochs at 224 px.

Recipe:   https://github.com/microsoft/SimMIM, simmim_pretrain__vit_base__img224__800ep
Run:      bash tools/dist_train.sh configs/simmim_vit_base_relpos_800e.py 8
Result:   83.8 % top-1 on ImageNet after fine-tuning at 224 px (published).

No absolute positions, but one relative position bias that all blocks share, and layer scale from 0.1. As in the
authors' code, weight decay spares the class token, but neither mask token nor position bias. Their mask token is drawn
from a normal distribution that is cut off at one standard deviation; here, at a hundred, as for their Swin.
"""

_base_ = ['simmim_swin_base.py', '_base_/schedule_800e.py']

img_size = 224

model = dict(
    img_size=img_size,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.BEiTViT',
        arch='base',
        img_size=img_size,
        patch_size=16,
        out_type='featmap',
        use_abs_pos_emb=False,
        use_rel_pos_bias=False,
        use_shared_rel_pos_bias=True,
        layer_scale_init_value=0.1,
        final_norm=True,
        drop_path_rate=0.1,
        init_cfg=dict(type='simmim_mm.DepthScaledInit'),
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage', grey='repeat'),
            dict(type='RandomResizedCrop', size=img_size, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomPatchMask', mask_patch_size=32, mask_ratio=0.6),
            dict(type='PackMaskedImage'),
        ]
    )
)

optim_wrapper = dict(
    optimizer=dict(lr=4e-4),  # 1e-4 * 2048 / 512
    paramwise_cfg=dict(
        custom_keys={
            'cls_token': dict(decay_mult=0.0),
            'mask_token': dict(decay_mult=1.0),
            'relative_position_bias_table': dict(decay_mult=1.0),
        }
    ),
)
param_scheduler = _base_.schedule_800e
train_cfg = dict(max_epochs=800)
default_hooks = dict(checkpoint=dict(interval=20))
