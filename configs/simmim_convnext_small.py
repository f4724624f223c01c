"""SimMIM pre-training of ConvNeXt-S for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_convnext_small.py 8
Result:   none published for this encoder; the recipe is that of simmim_swin_base.py.
"""

_base_ = 'simmim_convnext_tiny.py'

model = dict(backbone=dict(arch='small'))
