"""The demo (simmim_demo.py) with a small ViT.

Run:      python tools/demo.py --config configs/demo/vit.py
"""

_base_ = '../simmim_demo.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=256, num_layers=6, num_heads=8, feedforward_channels=1024),
        img_size=128,
        patch_size=16,
        out_type='featmap',
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    )
)
