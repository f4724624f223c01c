"""Ablation of the masking (table 1 of arXiv 2111.09886): random cells of 4 px, ratio 0.4.

Run:      bash tools/dist_train.sh configs/ablations/mask_random4_r40.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

_base_.train_dataloader.dataset.pipeline[3] = dict(type='RandomPatchMask', mask_patch_size=4, mask_ratio=0.4)
