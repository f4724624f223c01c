"""Swin-B that encodes visible tokens alone, with windows in groups, for 100 epochs at 192 px.

Paper:    Green Hierarchical Vision Transformer for Masked Image Modeling, https://arxiv.org/abs/2205.13515
Run:      bash tools/dist_train.sh configs/simmim_swin_base_visible.py 8
Result:   none published for this form; masks, target and recipe are those of simmim_swin_base.py. docs/cheaper_runs.md
          has what a step costs.
"""

_base_ = 'simmim_swin_base.py'

model = dict(masker=dict(type='VisibleMasker'), neck=dict(type='TransformerDecoder'))
