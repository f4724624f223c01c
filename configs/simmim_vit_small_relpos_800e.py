"""SimMIM pre-training of ViT-S (384 wide, 6 heads) in the authors' form for 800 epochs at 224 px.

Run:      bash tools/dist_train.sh configs/simmim_vit_small_relpos_800e.py 8
Result:   none published for this size; the recipe is that of simmim_vit_base_relpos_800e.py.
"""

_base_ = 'simmim_vit_base_relpos_800e.py'

model = dict(backbone=dict(arch='deit-small'))
