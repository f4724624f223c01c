"""SimMIM on a few photographs, in three minutes on two CPU cores: to see that it learns.

Run:      make demo
     or:  python tools/demo.py
Data:     photographs that scikit-image ships; tools/demo.py makes them in data/simmim_demo, and so does
          python tools/make_photographs.py
Model:    a Swin of three small stages at 128 px, 16-pixel mask cells
Result:   an error on held-out photographs about a quarter below that of their mean colour (measured here)

Everything but the sizes, the crop's smaller scale and the schedule is as in simmim_swin_base.py. configs/demo/ has the
same with other encoders.
"""

_base_ = 'simmim_swin_base.py'

img_size = 128

model = dict(
    img_size=img_size,
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=64, depths=[2, 2, 4], num_heads=[2, 4, 8]),
        img_size=img_size,
        window_size=8,
        out_indices=(2,),
    ),
)

loading = [dict(type='LoadImage', grey='repeat')]
masking = [dict(type='RandomPatchMask', mask_patch_size=16, mask_ratio=0.6), dict(type='PackMaskedImage')]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type='InfiniteSeededSampler'),
    dataset=dict(
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
    sampler=dict(type='SeededSampler', shuffle=False, seed=0),
    collate_fn=dict(type='simmim_mm.stack_samples'),
    dataset=dict(
        type='UnlabelledImages',
        data_root='data/simmim_demo/held_out',
        fixed=True,  # the same mask of a file at every validation
        pipeline=[*loading, dict(type='CenterCrop', size=img_size), *masking],
    ),
)
val_evaluator = dict(type='MaskedReconstructionMetric')
val_cfg = dict()

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(warmup=50, by_epoch=False, convert_to_iter_based=False)
auto_scale_lr = dict(base_batch_size=32)
# Counts iterations, as an epoch has only four.
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=500, val_interval=100)

log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=250, max_keep_ckpts=1, save_best='val/hidden_objective', rule='less'),
)
custom_hooks = [
    dict(type='ReconstructionHook', by_epoch=False, interval=100, num_images=8),
    dict(type='UnreadableImagesHook'),
    dict(type='SampleProgressHook'),
    dict(type='ProgressHook'),
]
