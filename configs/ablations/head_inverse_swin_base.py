"""Ablation of the prediction head (table 2 of arXiv 2111.09886): an inverse Swin-B.

Run:      bash tools/dist_train.sh configs/ablations/head_inverse_swin_base.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

model = dict(neck=dict(type='SwinDecoder', arch='base'))
