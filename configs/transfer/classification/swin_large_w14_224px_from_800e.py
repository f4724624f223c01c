"""Fine-tuning of Swin-L on ImageNet at 224 px with windows of 14, pre-trained for 800 epochs at 192 px.

Recipe:   https://github.com/microsoft/SimMIM, simmim_finetune__swin_large__img224_window14__800ep
Weights:  python tools/export_backbone.py work_dirs/simmim_swin_large_800e/epoch_800.pth work_dirs/backbone.pth
              --to mmpretrain --window-size 14 14 14 7 --img-size 224
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_large_w14_224px_from_800e.py 16
              --pretrained work_dirs/backbone.pth (on two machines; batch 2048 = 16 x 128)
Result:   85.4 % top-1 (published).

Windows of 14, but for the last stage, whose feature map is 7x7.
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

model = dict(
    backbone=dict(
        arch='large',
        window_size=14,
        stage_cfgs=[dict(), dict(), dict(), dict(window_size=7)],
        drop_path_rate=0.2,
    ),
    head=dict(in_channels=1536),
)
train_dataloader = dict(batch_size=128)

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
