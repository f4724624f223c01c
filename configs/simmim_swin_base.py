"""SimMIM pre-training of Swin-B for 100 epochs at 192 px: the reference recipe.

Paper:    SimMIM: A Simple Framework for Masked Image Modeling, https://arxiv.org/abs/2111.09886
Recipe:   https://github.com/microsoft/SimMIM, simmim_pretrain__swin_base__img192_window6__100ep
Run:      bash tools/dist_train.sh configs/simmim_swin_base.py 8
Own data: python tools/train.py configs/simmim_swin_base.py --data-root FOLDER --auto-scale-lr
Batch:    2048 = 8 GPUs x 256. With another one, add --auto-scale-lr.
Result:   82.8 % top-1 on ImageNet after fine-tuning at 192 px, 83.5 % at 224 px (published).

Where this differs from mmpretrain's simmim_swin-base-w6_8xb256-amp-coslr-100e_in1k-192px, it follows the authors: drop
path is 0.0 (there 0.1), the crop is resized with antialiasing (there without), the cosine runs over all 100 epochs with
the warm-up laid over its beginning (there it begins after the warm-up), and the mask token and all 1-d parameters are
exempt from weight decay.
"""

default_scope = 'simmim_mm'
# Imports the package when a config is used by the train script of another one, such as mmpretrain's.
custom_imports = dict(imports=['simmim_mm'], allow_failed_imports=False)

img_size = 192

model = dict(
    type='SimMIM',
    img_size=img_size,
    data_preprocessor=dict(
        type='MaskedImagePreprocessor',
        # RGB, in units of 0 to 255: ImageNet's.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpretrain.SwinTransformer',
        arch='base',
        img_size=img_size,
        window_size=6,
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

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='simmim_mm.stack_samples'),
    worker_init_fn=dict(type='simmim_mm.start_worker'),
    dataset=dict(
        type='UnlabelledImages',
        data_root='data/imagenet/train',
        pipeline=[
            dict(type='LoadImage', grey='repeat'),
            dict(type='RandomResizedCrop', size=img_size, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomPatchMask', mask_patch_size=32, mask_ratio=0.6),
            dict(type='PackMaskedImage'),
        ],
    ),
)

optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', lr=8e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),  # 2e-4 * 2048 / 512
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
param_scheduler = dict(
    type='CosineWithWarmupLR',  # to the end of training
    warmup=10,
    warmup_ratio=0.005,  # 1e-6 / 2e-4
    min_ratio=0.05,  # 1e-5 / 2e-4
    convert_to_iter_based=True,
)
auto_scale_lr = dict(base_batch_size=2048, enable=False)

# Same loss and gradients, cheaper steps: docs/acceleration.md. 'off' is the plain path.
acceleration = dict(preset='exact')

train_cfg = dict(type='ResumableEpochLoop', max_epochs=100)

default_hooks = dict(
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Every 10 epochs, and latest.pth every 500 iterations: docs/resuming.md.
    checkpoint=dict(type='SafeCheckpointHook', interval=10, max_keep_ckpts=3, rolling_interval=500),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    iteration_seed=dict(type='IterationSeedHook'),
    preemption=dict(type='PreemptionHook'),
    throughput=dict(type='ThroughputHook'),
    run_record=dict(type='RunRecordHook'),
    # Steps that are not finite are left out, and a loss that rises is warned of: docs/guards.md.
    finite_guard=dict(type='FiniteGuardHook', max_in_a_row=10),
    loss_watch=dict(type='LossWatchHook'),
    data_wait=dict(type='DataWaitHook'),
)
custom_hooks = [
    dict(type='ReconstructionHook', interval=10),
    dict(type='UnreadableImagesHook'),
    dict(type='SampleProgressHook'),
    dict(type='ProgressHook'),
]

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

log_processor = dict(by_epoch=True, window_size=20)
log_level = 'INFO'
load_from = None
resume = False
