"""Mask R-CNN with a plain ViT-B on COCO.

Neck:     that of ViTDet, https://arxiv.org/abs/2203.16527
Weights:  python tools/export_backbone.py work_dirs/simmim_vit_base/epoch_100.pth work_dirs/backbone.pth
              --to mmpretrain
Run:      bash tools/dist_train.sh configs/transfer/detection/mask_rcnn_vit_base_coco.py 8
              --pretrained work_dirs/backbone.pth --auto-scale-lr
Batch:    32 = 16 GPUs x 2
Result:   none published. Rates and layer decay are starting points; all else is as in mask_rcnn_swin_base_coco.py.

Every token attends to every other one: 4096 at 1024 px. Absolute positions are resized to each image on its way. The
authors' ViT with relative positions would need a table of its own for each image size, so it is not for detection.
"""

_base_ = 'mask_rcnn_swin_base_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='base',
        img_size=192,  # of pre-training
        patch_size=16,
        out_type='featmap',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='simmim_mm.CheckedPretrained',
            checkpoint='work_dirs/backbone.pth',
            prefix='backbone.',
            scratch=dict(type='simmim_mm.DepthScaledInit'),
        ),
    ),
    neck=dict(_delete_=True, type='simmim_mm.SimplePyramid', in_channels=768, out_channels=256, num_outs=5),
)

optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    constructor='simmim_mm.LayerDecayConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        custom_keys={'pos_embed': dict(decay_mult=0.0), 'cls_token': dict(decay_mult=0.0)},
    ),
)
