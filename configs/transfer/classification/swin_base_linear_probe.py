"""Linear probe of Swin-B: one linear layer on the frozen encoder.

Features: average of the last feature map, after its norm; then a batch norm without parameters. Which stage suits Swin
          best is not published: for another one, set model.backbone.out_indices, input_features and in_channels.
Schedule: that of vit_base_linear_probe.py
Weights:  python tools/export_backbone.py work_dirs/simmim_swin_base/epoch_100.pth work_dirs/backbone.pth
              --to mmpretrain --window-size 7 --img-size 224
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_base_linear_probe.py 8
              --pretrained work_dirs/backbone.pth
Batch:    4096 = 8 GPUs x 512
Result:   none published.
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

model = dict(
    backbone=dict(drop_path_rate=0.0, frozen_stages=3),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=1024),
    ],
    head=dict(
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.01, bias=0.0),
        loss=dict(_delete_=True, type='CrossEntropyLoss'),
    ),
    train_cfg=None,
)
train_dataloader = dict(
    batch_size=512,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ]
    ),
)

optim_wrapper = dict(
    _delete_=True,
    type='simmim_mm.PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='LARS', lr=1.6, momentum=0.9, weight_decay=0.0),  # 0.1 * 4096 / 256
)
param_scheduler = dict(warmup=10, warmup_ratio=1e-4, min_ratio=0.0)
auto_scale_lr = dict(base_batch_size=4096)
train_cfg = dict(max_epochs=90)
