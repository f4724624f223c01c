"""Ablation of the prediction target (table 5 of arXiv 2111.09886): tokens of DALL-E's tokenizer, as in BEiT.

Prepare:  the tokenizer's weights, as data/dalle_encoder.pth:
          https://mmassets.onedl.ai/mmselfsup/1.x/target_generator_ckpt/dalle_encoder.pth
Run:      bash tools/dist_train.sh configs/ablations/target_tokens.py 8
Else:     as in simmim_swin_base.py.
"""

_base_ = '../simmim_swin_base.py'

_base_.model.head.target = dict(type='TokenTarget', stride=16, value_range=(0.1, 0.9))
_base_.model.head.target.tokenizer = dict(type='mmpretrain.DALL-E')
_base_.model.head.target.checkpoint = 'data/dalle_encoder.pth'
_base_.model.head.loss = dict(type='CrossEntropyLoss')
