"""Mask R-CNN on painted shapes, in minutes on two CPU cores.

Data:     python tools/make_shapes_dataset.py data/shapes
Weights:  configs/demo/shapes.py
Run:      python tools/train.py configs/transfer/detection/swin_shapes.py --pretrained work_dirs/shapes_backbone.pth
          the same with --pretrained none, to compare
Result:   see docs/transfer.md
"""

_base_ = 'mask_rcnn_swin_base_coco.py'

classes = ('disc', 'ring', 'square', 'triangle', 'star', 'cross', 'hexagon', 'half_disc')

scratch = [
    dict(type='TruncNormal', layer='Linear', std=0.08, bias=0.0),  # see classification/swin_shapes.py
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
]

model = dict(
    data_preprocessor=dict(pad_size_divisor=8),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=48, depths=[2, 4], num_heads=[2, 4]),
        img_size=48,
        window_size=6,
        out_indices=(0, 1),
        drop_path_rate=0.0,
        init_cfg=dict(checkpoint='work_dirs/shapes_backbone.pth', new=['norm0'], scratch=scratch),
    ),
    neck=dict(in_channels=[48, 96], out_channels=64, num_outs=2),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[5], strides=[4, 8])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8], finest_scale=16),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=8),
        mask_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8], finest_scale=16),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64, num_classes=8),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=20)),
)

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(_delete_=True, type='InfiniteSampler'),
    dataset=dict(
        data_root='data/shapes/scenes',
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/train/'),
        indices=150,
        metainfo=dict(classes=classes),
        filter_cfg=dict(min_size=8),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(
        data_root='data/shapes/scenes',
        ann_file='annotations/val.json',
        data_prefix=dict(img='images/val/'),
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(96, 72), keep_ratio=True),  # their own size
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            ),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/shapes/scenes/annotations/val.json')
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    constructor='simmim_mm.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.9),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = dict(
    _delete_=True,
    type='simmim_mm.CosineWithWarmupLR',
    by_epoch=False,
    warmup=30,
    warmup_ratio=0.01,
    min_ratio=0.01,
)
auto_scale_lr = dict(base_batch_size=8)
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=200, val_interval=200)

log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=200, max_keep_ckpts=1),
)
work_dir = 'work_dirs/shapes_detection'  # the three configs have one name
