"""Ablation of the prediction target (table 5 of arXiv 2111.09886): 512 colour clusters.

Prepare:  python tools/cluster_colours.py configs/simmim_swin_base.py --num-clusters 512 --out data/colour_clusters.npz
Run:      bash tools/dist_train.sh configs/ablations/target_clusters512.py 8
Else:     as in simmim_swin_base.py; of means over 4x4 px, as the linear head would have 537 M parameters otherwise.
"""

_base_ = '../simmim_swin_base.py'

_base_.model.head.target = dict(type='ColorClusterTarget', clusters='data/colour_clusters.npz', stride=4)
_base_.model.head.loss = dict(type='CrossEntropyLoss')
