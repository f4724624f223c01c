"""Linear probe of ViT-B: one linear layer on the frozen encoder.

Features: average of the patch tokens after the 8th of 12 blocks, not the class token, as the paper has it; then a batch
          norm without parameters, as MAE's probe has it.
Paper:    SimMIM, https://arxiv.org/abs/2111.09886
Schedule: that of MAE, https://arxiv.org/abs/2111.06377, appendix A.1
Weights:  python tools/export_backbone.py work_dirs/simmim_vit_base/epoch_100.pth work_dirs/backbone.pth
              --to mmpretrain --img-size 224
Run:      bash tools/dist_train.sh configs/transfer/classification/vit_base_linear_probe.py 8
              --pretrained work_dirs/backbone.pth
Batch:    4096 = 8 GPUs x 512
Result:   none published for this form of ViT.

What an encoder learns by masked image modelling shows in fine-tuning more than in a probe; compare probes among each
other. For another block, change out_indices (from 0).
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='featmap',
        out_indices=7,
        frozen_stages=12,
        init_cfg=dict(
            type='simmim_mm.CheckedPretrained',
            checkpoint='work_dirs/backbone.pth',
            prefix='backbone.',
            scratch=dict(type='simmim_mm.DepthScaledInit'),
        ),
    ),
    neck=[dict(type='GlobalAveragePooling'), dict(type='ClsBatchNormNeck', input_features=768)],
    head=dict(
        in_channels=768,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.01, bias=0.0),
        loss=dict(_delete_=True, type='CrossEntropyLoss'),
    ),
    train_cfg=None,
)
train_dataloader = dict(
    batch_size=512,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ]
    ),
)

optim_wrapper = dict(
    _delete_=True,
    type='simmim_mm.PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='LARS', lr=1.6, momentum=0.9, weight_decay=0.0),  # 0.1 * 4096 / 256
)
param_scheduler = dict(warmup=10, warmup_ratio=1e-4, min_ratio=0.0)
auto_scale_lr = dict(base_batch_size=4096)
train_cfg = dict(max_epochs=90)
