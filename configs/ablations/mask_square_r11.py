"""Ablation of the masking (table 1 of arXiv 2111.09886): one square of 4 of the 36 cells.

Run:      bash tools/dist_train.sh configs/ablations/mask_square_r11.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

_base_.train_dataloader.dataset.pipeline[3] = dict(type='SquareMask', mask_patch_size=32, mask_ratio=4 / 36)
