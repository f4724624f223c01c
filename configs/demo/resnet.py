"""The demo (simmim_demo.py) with the first three stages of a ResNet-18.

Run:      python tools/demo.py --config configs/demo/resnet.py
"""

_base_ = '../simmim_demo.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet',
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    )
)
