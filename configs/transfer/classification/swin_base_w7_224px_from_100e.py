"""Fine-tuning of Swin-B on ImageNet at 224 px, windows of 7; pre-trained for 100 epochs at 192 px, windows of 6.

Recipe:   https://github.com/microsoft/SimMIM, simmim_finetune__swin_base__img224_window7__100ep
Weights:  python tools/export_backbone.py work_dirs/simmim_swin_base/epoch_100.pth work_dirs/backbone.pth
              --to mmpretrain --window-size 7 --img-size 224
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_base_w7_224px_from_100e.py 8
              --pretrained work_dirs/backbone.pth
Result:   83.5 % top-1 (published).
"""

_base_ = 'swin_base_w6_192px_from_100e.py'

model = dict(backbone=dict(img_size=224, window_size=7))

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
            dict(type='RandomFlip', prob=0.5),
            dict(
                type='RandAugment',
                policies='timm_increasing',
                num_policies=2,
                total_level=10,
                magnitude_level=9,
                magnitude_std=0.5,
                hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),  # BGR
            ),
            dict(
                type='RandomErasing',
                erase_prob=0.25,
                mode='rand',
                min_area_ratio=0.02,
                max_area_ratio=1 / 3,
                fill_color=[103.53, 116.28, 123.675],  # BGR
                fill_std=[57.375, 57.12, 58.395],
            ),
            dict(type='PackInputs'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
            dict(type='CenterCrop', crop_size=224),
            dict(type='PackInputs'),
        ]
    )
)
test_dataloader = val_dataloader
