"""ViT-B that encodes visible tokens alone, as MAE does, for 100 epochs at 192 px.

Paper:    Masked Autoencoders Are Scalable Vision Learners, https://arxiv.org/abs/2111.06377, for the encoder
Run:      bash tools/dist_train.sh configs/simmim_vit_base_visible.py 8
Result:   none published for this form; masks, target and recipe are those of simmim_vit_base.py. docs/cheaper_runs.md
          has what a step costs.
"""

_base_ = 'simmim_vit_base.py'

model = dict(masker=dict(type='VisibleMasker'), neck=dict(type='TransformerDecoder'))
