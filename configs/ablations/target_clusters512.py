"""Ablation of the prediction target (table 5 of arXiv 2111.09886): 512 colour clusters.

Prepare:  python tools/cluster_colours.py configs/simmim_swin_base.py --num-clusters 512 --out data/colour_clusters.npz
Run:      bash tools/dist_train.sh configs/ablations/target_clusters512.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

_base_.model.head.target = dict(type='ColorClusterTarget', clusters='data/colour_clusters.npz')
_base_.model.head.loss = dict(type='CrossEntropyLoss')
