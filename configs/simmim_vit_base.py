"""SimMIM pre-training of ViT-B with absolute positions, for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_vit_base.py 8
Result:   none published for this form; the recipe is that of simmim_swin_base.py with a drop path rate of 0.1.

For the authors' ViT, which has relative positions instead, see simmim_vit_base_relpos_800e.py.
"""

_base_ = 'simmim_swin_base.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='base',
        img_size=192,
        patch_size=16,
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(type='simmim_mm.DepthScaledInit'),
    )
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'pos_embed': dict(decay_mult=0.0), 'cls_token': dict(decay_mult=0.0)})
)
