"""SimMIM pre-training on CIFAR-10, at 32 px, with a small ViT of 4-pixel patches.

Run:      python tools/train.py configs/simmim_cifar10.py
Data:     the Python version of https://www.cs.toronto.edu/~kriz/cifar.html, unpacked in data/cifar10, so that
          data/cifar10/cifar-10-batches-py/data_batch_1 is there. Nothing is downloaded; another place is named with
          --data-root FOLDER for training and val_dataloader.dataset.dataset.data_root for validation.
Model:    DeiT's ViT-Tiny (192 wide, 12 blocks), with mask cells of one patch
Result:   none published for this size; the recipe is that of simmim_swin_base.py with the learning rate of batch 512.

The labels are not used. Validation hides 60 % of the 10,000 test images, the same cells every time.
"""

_base_ = 'simmim_swin_base.py'

img_size = 32

model = dict(
    img_size=img_size,
    data_preprocessor=dict(
        # RGB, in units of 0 to 255: of CIFAR-10's training images.
        mean=[125.307, 122.950, 113.865],
        std=[62.993, 62.089, 66.705],
    ),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='deit-tiny',
        img_size=img_size,
        patch_size=4,
        out_type='featmap',
        init_cfg=[
            dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ),
)

masking = [dict(type='RandomPatchMask', mask_patch_size=4, mask_ratio=0.6), dict(type='PackMaskedImage')]

train_dataloader = dict(
    batch_size=512,
    dataset=dict(
        _delete_=True,
        type='HostImages',
        dataset=dict(type='mmpretrain.CIFAR10', data_root='data/cifar10', split='train'),
        pipeline=[
            dict(type='RandomResizedCrop', size=img_size, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            *masking,
        ],
    ),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=2,
    sampler=dict(type='SeededSampler', shuffle=False, seed=0),
    collate_fn=dict(type='simmim_mm.stack_samples'),
    dataset=dict(
        type='HostImages',
        dataset=dict(type='mmpretrain.CIFAR10', data_root='data/cifar10', split='test'),
        fixed=True,  # the same mask of an image at every validation
        pipeline=masking,
    ),
)
val_evaluator = dict(type='MaskedReconstructionMetric')
val_cfg = dict()
default_hooks = dict(checkpoint=dict(save_best='val/hidden_objective', rule='less'))

optim_wrapper = dict(
    optimizer=dict(lr=2e-4),  # 2e-4 * 512 / 512
    paramwise_cfg=dict(custom_keys={'pos_embed': dict(decay_mult=0.0), 'cls_token': dict(decay_mult=0.0)}),
)
auto_scale_lr = dict(base_batch_size=512)
