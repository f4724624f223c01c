"""The demo (simmim_demo.py) with a small ViT in the authors' form, without its layer scale, which slows the start down.

Run:      python tools/demo.py --config configs/demo/vit.py
"""

_base_ = '../simmim_demo.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.BEiTViT',
        arch=dict(embed_dims=256, num_layers=4, num_heads=8, feedforward_channels=1024),
        img_size=128,
        patch_size=16,
        out_type='featmap',
        use_abs_pos_emb=False,
        use_rel_pos_bias=False,
        use_shared_rel_pos_bias=True,
        layer_scale_init_value=0,
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    )
)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
