"""UPerNet with Swin-B on a small data set of one's own: some hundred images.

Data:     DATA/images/{train,val}/*.jpg and DATA/labels/{train,val}/*.png of the same names: 8-bit label maps, 0 is the
          first class, 255 is not counted. Set the names of the classes below.
Weights:  as for upernet_swin_base_ade20k.py
Run:      python tools/train.py configs/transfer/segmentation/upernet_swin_base_small_data.py --data-root DATA
              --pretrained work_dirs/backbone.pth
Batch:    8, on one GPU. With another one, add --auto-scale-lr.
Result:   none published. A twentieth of the iterations, a smaller head and stronger layer decay are starting points.
"""

_base_ = 'upernet_swin_base_ade20k.py'

classes = ('background', 'object')
crop_size = (512, 512)
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    decode_head=dict(channels=256, num_classes=len(classes), norm_cfg=norm_cfg),
    auxiliary_head=dict(num_classes=len(classes), norm_cfg=norm_cfg),
)

train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='BaseSegDataset',
        data_root='data/small',
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='BaseSegDataset',
        data_root='data/small',
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(2048, 512), keep_ratio=True),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
param_scheduler = dict(
    _delete_=True,
    type='simmim_mm.CosineWithWarmupLR',
    by_epoch=False,
    warmup=400,
    warmup_ratio=0.01,
    min_ratio=0.01,
)
auto_scale_lr = dict(base_batch_size=8)
train_cfg = dict(max_iters=8000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
