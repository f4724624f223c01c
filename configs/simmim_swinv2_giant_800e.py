"""SimMIM pre-training of Swin V2-G (3.0 billion parameters) for 800 epochs at 192 px.

Paper:    Swin Transformer V2, https://arxiv.org/abs/2111.09883
Run:      bash tools/dist_train.sh configs/simmim_swinv2_giant_800e.py 256 (batch 2048 = 256 x 8)
Result:   none published for this schedule: the paper's model saw another, private data set.

Only the size is the paper's; the recipe is that of simmim_swinv2_base_800e.py. Weights, gradients and AdamW's state
take 48 GB in fp32 on each GPU. The tests build it without memory, for its shapes and the number of its parameters; it
has not been trained here.
"""

_base_ = 'simmim_swinv2_base_800e.py'

model = dict(backbone=dict(arch='giant', with_cp=True))  # with_cp: features are computed twice to save memory
train_dataloader = dict(batch_size=8)
