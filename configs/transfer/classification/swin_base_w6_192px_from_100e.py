"""Fine-tuning of Swin-B on ImageNet at 192 px, pre-trained for 100 epochs: the reference of the classification configs.

Paper:    SimMIM: A Simple Framework for Masked Image Modeling, https://arxiv.org/abs/2111.09886
Recipe:   https://github.com/microsoft/SimMIM, simmim_finetune__swin_base__img192_window6__100ep
Weights:  python tools/export_backbone.py work_dirs/simmim_swin_base/epoch_100.pth work_dirs/backbone.pth
              --to mmpretrain
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_base_w6_192px_from_100e.py 8
              --pretrained work_dirs/backbone.pth
Test:     bash tools/dist_test.sh configs/transfer/classification/swin_base_w6_192px_from_100e.py CHECKPOINT 8
Batch:    2048 = 8 GPUs x 256. With another one, add --auto-scale-lr.
Result:   82.8 % top-1 (published).

Where this differs from the authors' code: the rates of all layers begin and end at the same share of their peak, while
theirs begin and end at the same rate. The authors' colour jitter has no effect beside RandAugment, so there is none.
"""

default_scope = 'mmpretrain'
custom_imports = dict(imports=['simmim_mm'], allow_failed_imports=False)

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        num_classes=1000,
        # RGB, in units of 0 to 255: ImageNet's.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='SwinTransformer',
        arch='base',
        img_size=192,
        window_size=6,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='simmim_mm.CheckedPretrained',
            checkpoint='work_dirs/backbone.pth',  # None: random weights, to compare with
            prefix='backbone.',
            scratch=[
                dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
                dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
            ],
        ),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        cal_acc=False,
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet',
        data_root='data/imagenet',
        split='train',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomResizedCrop', scale=192, backend='pillow', interpolation='bicubic'),
            dict(type='RandomFlip', prob=0.5),
            dict(
                type='RandAugment',
                policies='timm_increasing',
                num_policies=2,
                total_level=10,
                magnitude_level=9,
                magnitude_std=0.5,
                hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),  # BGR
            ),
            dict(
                type='RandomErasing',
                erase_prob=0.25,
                mode='rand',
                min_area_ratio=0.02,
                max_area_ratio=1 / 3,
                fill_color=[103.53, 116.28, 123.675],  # BGR
                fill_std=[57.375, 57.12, 58.395],
            ),
            dict(type='PackInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet',
        data_root='data/imagenet',
        split='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=219, edge='short', backend='pillow', interpolation='bicubic'),
            dict(type='CenterCrop', crop_size=192),
            dict(type='PackInputs'),
        ],
    ),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))
val_cfg = dict()
test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict()

optim_wrapper = dict(
    type='simmim_mm.PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', lr=5e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),  # 1.25e-3 * 2048 / 512
    clip_grad=dict(max_norm=5.0),
    constructor='simmim_mm.LayerDecayConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.9,
        flat_decay_mult=0.0,  # biases, norms and all other 1-d parameters
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = dict(
    type='simmim_mm.CosineWithWarmupLR',
    warmup=20,
    warmup_ratio=2e-4,  # 2.5e-7 / 1.25e-3
    min_ratio=2e-4,  # 2.5e-7 / 1.25e-3
    convert_to_iter_based=True,
)
auto_scale_lr = dict(base_batch_size=2048, enable=False)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=5)

default_hooks = dict(
    runtime_info=dict(type='simmim_mm.DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=5, max_keep_ckpts=3, save_best='auto'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_processor = dict(by_epoch=True, window_size=20)
log_level = 'INFO'
load_from = None
resume = False
