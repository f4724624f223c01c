"""SimMIM pre-training of ResNet-50x4, each layer four times as wide, for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_resnet50x4.py 32 (on four machines; batch 2048 = 32 x 64)
Result:   the appendix of the SimMIM paper has this encoder, without a config; the recipe here is that of
          simmim_swin_base.py, and its result is not known.
"""

_base_ = 'simmim_resnet50.py'

model = dict(backbone=dict(stem_channels=256, base_channels=256))
train_dataloader = dict(batch_size=64)
