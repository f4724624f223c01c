"""SimMIM on a few photographs, in three minutes on two CPU cores: to see that it learns.

Run:      make demo
     or:  python tools/demo.py
Data:     photographs that scikit-image ships, made by tools/demo.py in data/simmim_demo
Model:    a Swin of three small stages at 128 px, 16-pixel mask cells
Result:   an error on held-out photographs about a quarter below that of their mean colour (measured here)

Loss, target and optimiser are those of simmim_swin_base.py. configs/demo/ has the same with other encoders.
"""

_base_ = '_base_/default_runtime.py'

img_size = 128

model = dict(
    type='SimMIM',
    img_size=img_size,
    data_preprocessor=dict(
        type='MaskedImagePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=64, depths=[2, 2, 4], num_heads=[2, 4, 8]),
        img_size=img_size,
        window_size=8,
        out_indices=(2,),
        drop_path_rate=0.0,
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ),
    masker=dict(type='TokenMasker'),
    neck=dict(type='LinearDecoder'),
    head=dict(type='ReconstructionHead', target=dict(type='PixelTarget'), loss=dict(type='L1Loss')),
)

loading = [dict(type='LoadImage')]
masking = [dict(type='RandomPatchMask', mask_patch_size=16, mask_ratio=0.6), dict(type='PackMaskedImage')]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='InfiniteSeededSampler'),
    collate_fn=dict(type='simmim_mm.stack_samples'),
    dataset=dict(
        type='UnlabelledImages',
        data_root='data/simmim_demo/train',
        pipeline=[
            *loading,
            dict(type='RandomResizedCrop', size=img_size, scale=(0.2, 1.0)),
            dict(type='RandomFlip', prob=0.5),
            *masking,
        ],
    ),
)
val_dataloader = dict(
    batch_size=28,
    num_workers=0,
    sampler=dict(type='SeededSampler', shuffle=False, seed=0),  # the same masks at every validation
    collate_fn=dict(type='simmim_mm.stack_samples'),
    dataset=dict(
        type='UnlabelledImages',
        data_root='data/simmim_demo/held_out',
        pipeline=[*loading, dict(type='CenterCrop', size=img_size), *masking],
    ),
)
val_evaluator = dict(type='MaskedReconstructionMetric')
val_cfg = dict()

optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    constructor='MergedGroupsConstructor',
    paramwise_cfg=dict(
        flat_decay_mult=0.0,  # biases, norms and all other 1-d parameters
        custom_keys={
            'mask_token': dict(decay_mult=0.0),
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = dict(type='CosineWithWarmupLR', warmup=50, warmup_ratio=0.005, min_ratio=0.05, by_epoch=False)
auto_scale_lr = dict(base_batch_size=32, enable=False)
# Counts iterations, as an epoch has only four.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=500, val_interval=100)

log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=250, max_keep_ckpts=1),
)
custom_hooks = [
    dict(type='ReconstructionHook', by_epoch=False, interval=100, num_images=8),
    dict(type='UnreadableImagesHook'),
    dict(type='SampleProgressHook'),
]
