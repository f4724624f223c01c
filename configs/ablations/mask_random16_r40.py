"""Ablation of the masking (table 1 of arXiv 2111.09886): random cells of 16 px, ratio 0.4.

Run:      bash tools/dist_train.sh configs/ablations/mask_random16_r40.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

_base_.train_dataloader.dataset.pipeline[3] = dict(type='RandomPatchMask', mask_patch_size=16, mask_ratio=0.4)
