"""SimMIM pre-training of Swin-L for 800 epochs at 192 px.

Recipe:   https://github.com/microsoft/SimMIM, simmim_pretrain__swin_large__img192_window12__800ep
Run:      bash tools/dist_train.sh configs/simmim_swin_large_800e.py 16 (on two machines; batch 2048 = 16 x 128)
Result:   85.4 % top-1 on ImageNet after fine-tuning at 224 px (published).

Windows of 12, but for the last stage, whose feature map is 6x6. mmpretrain pads that map to 12x12 instead.
"""

_base_ = 'simmim_swin_base_800e.py'

model = dict(
    backbone=dict(
        arch='large',
        window_size=12,
        stage_cfgs=[dict(), dict(), dict(), dict(window_size=6)],
    )
)
train_dataloader = dict(batch_size=128)
