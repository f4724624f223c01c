"""Classification of painted shapes with few labels, in a minute on two CPU cores.

Data:     python tools/make_shapes_dataset.py data/shapes
Weights:  configs/demo/shapes.py
Run:      python tools/train.py configs/transfer/classification/swin_shapes.py
              --pretrained work_dirs/shapes_backbone.pth
          the same with --pretrained none, to compare
Labels:   50 images of each of 8 classes, chosen by FewLabels(seed=0)
Result:   see docs/transfer.md
"""

_base_ = 'swin_base_w6_192px_from_100e.py'

# Random weights, to compare with. At these widths, the usual 0.02 would make the first hundred iterations idle.
scratch = [
    dict(type='TruncNormal', layer='Linear', std=0.08, bias=0.0),
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
]

model = dict(
    data_preprocessor=dict(num_classes=8),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=48, depths=[2, 4], num_heads=[2, 4]),
        img_size=48,
        window_size=6,
        out_indices=(1,),
        drop_path_rate=0.0,
        init_cfg=dict(checkpoint='work_dirs/shapes_backbone.pth', scratch=scratch),
    ),
    head=dict(num_classes=8, in_channels=96),
    train_cfg=None,  # neither mixup nor CutMix
)

train_dataloader = dict(
    batch_size=32,
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
                dict(type='RandomResizedCrop', scale=48, crop_ratio_range=(0.6, 1.0)),
                dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
                dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5),
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

optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=1.0))
param_scheduler = dict(warmup=20, warmup_ratio=0.01, min_ratio=0.01, by_epoch=False, convert_to_iter_based=False)
auto_scale_lr = dict(base_batch_size=32)
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=600, val_interval=600)

log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=600, max_keep_ckpts=1, save_best=None),
)
work_dir = 'work_dirs/shapes_classification'  # the three configs have one name
