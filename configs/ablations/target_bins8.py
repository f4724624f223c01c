"""Ablation of the prediction target (table 5 of arXiv 2111.09886): 8 colour bins a channel.

Run:      bash tools/dist_train.sh configs/ablations/target_bins8.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

model = dict(
    head=dict(target=dict(type='ColorBinTarget', bins=8), loss=dict(_delete_=True, type='CrossEntropyLoss')),
)
