"""SimMIM pre-training of Swin V2-T for 800 epochs at 192 px, on pixels normalised by the window around them.

Run:      bash tools/dist_train.sh configs/simmim_swinv2_tiny_800e.py 8
Result:   none published for this size; the recipe is that of simmim_swinv2_base_800e.py.
"""

_base_ = 'simmim_swinv2_base_800e.py'

model = dict(backbone=dict(arch='tiny'))
train_dataloader = dict(batch_size=256)
