"""SimMIM pre-training of Swin-S for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_swin_small.py 8
Result:   none published for this size; the recipe is that of simmim_swin_base.py.
"""

_base_ = 'simmim_swin_base.py'

model = dict(backbone=dict(arch='small'))
