"""SimMIM pre-training of Swin V2-H (655 million parameters) for 800 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_swinv2_huge_800e.py 64 (batch 2048 = 64 x 32)
Result:   85.7 % top-1 on ImageNet after fine-tuning at 224 px, 87.1 % at 512 px (published).

The authors published no config for it; the recipe is that of simmim_swinv2_base_800e.py. The numbers of heads are
mmpretrain's choice, as the papers do not tell them.
"""

_base_ = 'simmim_swinv2_base_800e.py'

model = dict(backbone=dict(arch='huge', with_cp=True))  # with_cp: features are computed twice to save memory
train_dataloader = dict(batch_size=32)
