"""SimMIM pre-training of ConvNeXt V2-S for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_convnextv2_small.py 8
Result:   none published for this encoder; the recipe is that of simmim_swin_base.py.

V2 has global response normalisation in place of layer scale (arXiv 2301.00808, which has no size S:
the depths and widths are those of ConvNeXt-S).
"""

_base_ = 'simmim_convnext_tiny.py'

model = dict(backbone=dict(arch='small', use_grn=True, layer_scale_init_value=0.0))
