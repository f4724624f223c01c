"""Classification of painted shapes with few labels, in a minute on two CPU cores.

Data:     python tools/make_shapes_dataset.py data/shapes
Weights:  configs/demo/shapes.py
Run:      python tools/train.py configs/transfer/classification/swin_shapes.py
              --pretrained work_dirs/shapes_backbone.pth
          the same with --pretrained none, to compare
Labels:   50 images of each of 8 classes, chosen by FewLabels(seed=0)
Result:   see docs/finetuning.md
"""

_base_ = 'swin_base_w6_192px_from_100e.py'

model = dict(
    data_preprocessor=dict(num_classes=8),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=48, depths=[2, 2, 4], num_heads=[2, 4, 8]),
        img_size=64,
        window_size=4,
        out_indices=(2,),
        init_cfg=dict(checkpoint='work_dirs/shapes_backbone.pth'),
    ),
    head=dict(num_classes=8, in_channels=192),
    train_cfg=None,  # neither mixup nor CutMix
)

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        _delete_=True,
        type='simmim_mm.FewLabels',
        per_class=50,
        seed=0,
        dataset=dict(
            type='CustomDataset',
            data_root='data/shapes/objects',
            data_prefix='train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomResizedCrop', scale=64, crop_ratio_range=(0.6, 1.0)),
                dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
                dict(type='PackInputs'),
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root='data/shapes/objects',
        data_prefix='val',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    ),
)
val_evaluator = dict(topk=(1,))
test_dataloader = val_dataloader
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(warmup=20, warmup_ratio=0.01, min_ratio=0.01, by_epoch=False, convert_to_iter_based=False)
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=400, val_interval=400)

log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=400, max_keep_ckpts=1, save_best=None),
)
