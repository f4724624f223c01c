"""Ablation of the prediction head (table 2 of arXiv 2111.09886): two layers.

Run:      bash tools/dist_train.sh configs/ablations/head_mlp.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

model = dict(neck=dict(type='MLPDecoder'))
