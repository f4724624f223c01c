"""SimMIM pre-training of ViT-L in the authors' form for 800 epochs at 224 px.

Run:      bash tools/dist_train.sh configs/simmim_vit_large_relpos_800e.py 16 (on two machines; batch 2048 = 16 x 128)
Result:   none published for this size; the recipe is that of simmim_vit_base_relpos_800e.py.
"""

_base_ = 'simmim_vit_base_relpos_800e.py'

model = dict(backbone=dict(arch='large'))
train_dataloader = dict(batch_size=128)
