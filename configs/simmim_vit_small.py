"""SimMIM pre-training of ViT-S (384 wide, 6 heads) with absolute positions, for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_vit_small.py 8
Result:   none published for this form; the recipe is that of simmim_vit_base.py.
"""

_base_ = 'simmim_vit_base.py'

model = dict(backbone=dict(arch='deit-small'))
