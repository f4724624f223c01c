"""SimMIM pre-training of ViT-L with absolute positions, for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_vit_large.py 16 (on two machines; batch 2048 = 16 x 128)
Result:   none published for this form; the recipe is that of simmim_vit_base.py.
"""

_base_ = 'simmim_vit_base.py'

model = dict(backbone=dict(arch='large'))
train_dataloader = dict(batch_size=128)
