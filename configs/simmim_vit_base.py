"""SimMIM pre-training of ViT-B with absolute positions, for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_vit_base.py 8
Result:   none published for this form; the recipe is that of simmim_swin_base.py with a drop path rate of 0.1.

The authors' ViT-B has no absolute positions but one relative position bias that all blocks share, and layer scale 0.1;
it is trained for 800 epochs at 224 px.
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
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    )
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'pos_embed': dict(decay_mult=0.0), 'cls_token': dict(decay_mult=0.0)})
)
