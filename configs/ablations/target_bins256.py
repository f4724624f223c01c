"""Ablation of the prediction target (table 5 of arXiv 2111.09886): 256 colour bins a channel.

Run:      bash tools/dist_train.sh configs/ablations/target_bins256.py 8
Else:     as in simmim_swin_base.py; of means over 4x4 px, as the linear head would have 805 M parameters otherwise.
"""

_base_ = '../simmim_swin_base.py'

model = dict(
    head=dict(
        target=dict(type='ColorBinTarget', bins=256, stride=4), loss=dict(_delete_=True, type='CrossEntropyLoss')
    ),
)
