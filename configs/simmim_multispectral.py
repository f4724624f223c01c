"""SimMIM pre-training of Swin-T on images of 13 bands, 16 bits and 96x160 pixels.

Run:      python tools/train.py configs/simmim_multispectral.py --data-root FOLDER --auto-scale-lr
Data:     TIFF files of 13 bands or 13 pages each, or arrays (.npy); the bands in Sentinel-2's order for the pictures.
          The validation images are in data/multispectral/val (val_dataloader.dataset.data_root).
Your own: write your number of bands and your range into data_preprocessor, or what tools/dataset_statistics.py prints.
Result:   none published; the recipe is that of simmim_swin_base.py.
"""

_base_ = 'simmim_swin_base.py'

img_size = (96, 160)

model = dict(
    img_size=img_size,
    data_preprocessor=dict(
        _delete_=True,
        type='MaskedImagePreprocessor',
        # The one place that says what the images are. Loader, encoder, decoder and target follow. With mean and std of
        # your own images (tools/dataset_statistics.py), each band counts the same in the loss.
        channels=13,
        value_range=(0, 10000),  # reflectance x 10000
    ),
    # The maps of 24x40 to 3x5 cells are padded to whole windows.
    backbone=dict(arch='tiny', img_size=img_size, window_size=8, pad_small_map=True),
)

masking = [dict(type='RandomPatchMask', mask_patch_size=16, mask_ratio=0.6), dict(type='PackMaskedImage')]

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        data_root='data/multispectral/train',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='RandomResizedCrop', size=img_size, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            *masking,
        ],
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    sampler=dict(type='SeededSampler', shuffle=False, seed=0),
    collate_fn=dict(type='simmim_mm.stack_samples'),
    dataset=dict(
        type='UnlabelledImages',
        data_root='data/multispectral/val',
        fixed=True,  # the same mask of a file at every validation
        pipeline=[dict(type='LoadImage'), dict(type='CenterCrop', size=img_size), *masking],
    ),
)
val_evaluator = dict(type='MaskedReconstructionMetric')
val_cfg = dict()
default_hooks = dict(checkpoint=dict(save_best='val/hidden_objective', rule='less'))

custom_hooks = [
    dict(type='ReconstructionHook', interval=10, bands=(3, 2, 1)),  # red, green, blue
    dict(type='UnreadableImagesHook'),
    dict(type='SampleProgressHook'),
    dict(type='ProgressHook'),
]
