"""Ablation of the target resolution (table 3 of arXiv 2111.09886): 24x24 for images of 192 px.

Run:      bash tools/dist_train.sh configs/ablations/target_resolution_24.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

model = dict(head=dict(target=dict(stride=8)))
