"""Ablation of the prediction area (table 4 of arXiv 2111.09886): hidden and visible pixels alike.

Run:      bash tools/dist_train.sh configs/ablations/area_all.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

model = dict(head=dict(area='all'))
