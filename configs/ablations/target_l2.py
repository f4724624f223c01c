"""Ablation of the prediction target (table 5 of arXiv 2111.09886): squared difference.

Run:      bash tools/dist_train.sh configs/ablations/target_l2.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

model = dict(head=dict(loss=dict(type='L2Loss')))
