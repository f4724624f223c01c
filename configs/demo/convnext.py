"""The demo (simmim_demo.py) with a ConvNeXt of three small stages.

Run:      python tools/demo.py --config configs/demo/convnext.py
"""

_base_ = '../simmim_demo.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch=dict(depths=[2, 2, 4], channels=[64, 128, 256]),
        out_indices=[2],
        gap_before_final_norm=False,
        init_cfg=[
            dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    )
)
