"""SimMIM pre-training of HiViT-B, a hierarchical transformer without windows, for 100 epochs at 192 px.

Paper:    HiViT, https://arxiv.org/abs/2205.14949
Run:      bash tools/dist_train.sh configs/simmim_hivit_base.py 8
Result:   none published for this method; the recipe is that of simmim_swin_base.py.

The token replaces cells of the stem's convolution (4 px), before its norm. The last feature map has a stride of 16.
"""

_base_ = 'simmim_swin_base.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.HiViT',
        arch='base',
        img_size=192,
        ape=True,
        rpe=True,
        # Said here, as mmpretrain's default is one list that all models of a process share and change.
        out_indices=[23],
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'pos_embed': dict(decay_mult=0.0)}))
