"""SimMIM on painted shapes, in half an hour on two CPU cores: what configs/transfer/*/swin_shapes.py start from.

Data:     python tools/make_shapes_dataset.py data/shapes
Run:      python tools/train.py configs/demo/shapes.py
Weights:  python tools/export_backbone.py work_dirs/shapes/iter_4000.pth work_dirs/shapes_backbone.pth --to mmpretrain
Model:    a Swin of two small stages at 48 px, windows of 6, 8-pixel mask cells
"""

_base_ = '../simmim_demo.py'

img_size = 48

model = dict(
    img_size=img_size,
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=48, depths=[2, 4], num_heads=[2, 4]),
        img_size=img_size,
        window_size=6,
        out_indices=(1,),
    ),
)

masking = [dict(type='RandomPatchMask', mask_patch_size=8, mask_ratio=0.6), dict(type='PackMaskedImage')]

train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        data_root='data/shapes/unlabelled',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='RandomResizedCrop', size=img_size, scale=(0.3, 1.0)),
            dict(type='RandomFlip', prob=0.5),
            *masking,
        ],
    ),
)
val_dataloader = dict(
    batch_size=100,
    dataset=dict(
        data_root='data/shapes/objects/val',
        pipeline=[dict(type='LoadImage'), dict(type='CenterCrop', size=img_size), *masking],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(warmup=200)
auto_scale_lr = dict(base_batch_size=64)
train_cfg = dict(max_iters=4000, val_interval=500)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000))
custom_hooks = [
    dict(type='ReconstructionHook', by_epoch=False, interval=500, num_images=8),
    dict(type='UnreadableImagesHook'),
    dict(type='SampleProgressHook'),
    dict(type='ProgressHook'),
]
