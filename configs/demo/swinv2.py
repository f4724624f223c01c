"""The demo (simmim_demo.py) with a Swin V2 of three small stages.

Run:      python tools/demo.py --config configs/demo/swinv2.py
"""

_base_ = '../simmim_demo.py'

model = dict(
    backbone=dict(
        type='mmpretrain.SwinTransformerV2',
        arch=dict(_delete_=True, embed_dims=64, depths=[2, 2, 4], num_heads=[2, 4, 8], extra_norm_every_n_blocks=0),
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
            dict(type='simmim_mm.ResPostNormInit'),
        ],
    )
)
