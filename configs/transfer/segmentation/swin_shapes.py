"""UPerNet on painted shapes, in minutes on two CPU cores.

Data:     python tools/make_shapes_dataset.py data/shapes
Weights:  configs/demo/shapes.py
Run:      python tools/train.py configs/transfer/segmentation/swin_shapes.py --pretrained work_dirs/shapes_backbone.pth
          the same with --pretrained none, to compare
Result:   see docs/transfer.md
"""

_base_ = 'upernet_swin_base_ade20k.py'

classes = ('background', 'disc', 'ring', 'square', 'triangle', 'star', 'cross', 'hexagon', 'half_disc')
crop_size = (72, 96)
norm_cfg = dict(type='BN', requires_grad=True)

# Four pixels of five are background, which alone would be a comfortable answer.
loss = dict(class_weight=[0.1] + 8 * [1.0])

scratch = [
    dict(type='TruncNormal', layer='Linear', std=0.08, bias=0.0),  # see classification/swin_shapes.py
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
]

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=48, depths=[2, 4], num_heads=[2, 4]),
        img_size=48,
        window_size=6,
        out_indices=(0, 1),
        drop_path_rate=0.0,
        init_cfg=dict(checkpoint='work_dirs/shapes_backbone.pth', new=['norm0'], scratch=scratch),
    ),
    decode_head=dict(
        in_channels=[48, 96],
        in_index=[0, 1],
        channels=64,
        num_classes=len(classes),
        norm_cfg=norm_cfg,
        loss_decode=loss,
    ),
    auxiliary_head=dict(
        in_channels=96, in_index=1, channels=32, num_classes=len(classes), norm_cfg=norm_cfg, loss_decode=loss
    ),
)

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        type='BaseSegDataset',
        data_root='data/shapes/scenes',
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        indices=150,
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    dataset=dict(
        type='BaseSegDataset',
        data_root='data/shapes/scenes',
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = dict(
    _delete_=True,
    type='simmim_mm.CosineWithWarmupLR',
    by_epoch=False,
    warmup=20,
    warmup_ratio=0.01,
    min_ratio=0.01,
)
train_cfg = dict(max_iters=250, val_interval=250)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=250, max_keep_ckpts=1, save_best=None),
)
work_dir = 'work_dirs/shapes_segmentation'  # the three configs have one name
