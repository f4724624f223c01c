"""SimMIM pre-training of Swin V2-S for 800 epochs at 192 px, on pixels normalised by the window around them.

Run:      bash tools/dist_train.sh configs/simmim_swinv2_small_800e.py 16 (on two machines; batch 2048 = 16 x 128)
Result:   none published for this very config; the authors' model hub has 84.1 % top-1
          on ImageNet for 500,000 iterations (https://github.com/microsoft/Swin-Transformer).

The recipe is that of simmim_swinv2_base_800e.py.
"""

_base_ = 'simmim_swinv2_base_800e.py'

model = dict(backbone=dict(arch='small'))
