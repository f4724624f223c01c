"""SimMIM pre-training of Swin-T for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_swin_tiny.py 8
Result:   none published for this size; the recipe is that of simmim_swin_base.py.
"""

_base_ = 'simmim_swin_base.py'

model = dict(backbone=dict(arch='tiny'))
