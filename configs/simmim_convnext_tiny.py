"""SimMIM pre-training of ConvNeXt-T for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_convnext_tiny.py 8
Result:   none published for this encoder; the recipe is that of simmim_swin_base.py.

The token replaces cells of the stem (a 4x4 convolution with its norm). Later 7x7 convolutions then mix hidden and
visible cells, as attention does; no hidden pixel is seen.
"""

_base_ = 'simmim_swin_base.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        gap_before_final_norm=False,
        drop_path_rate=0.0,
        init_cfg=[
            dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    )
)
