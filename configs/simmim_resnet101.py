"""SimMIM pre-training of ResNet-101 for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_resnet101.py 8
Result:   none published for this size; the recipe is that of simmim_swin_base.py.
"""

_base_ = 'simmim_resnet50.py'

model = dict(backbone=dict(depth=101))
