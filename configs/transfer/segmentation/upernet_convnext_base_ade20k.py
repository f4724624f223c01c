"""UPerNet with ConvNeXt-B on ADE20K, 160,000 iterations at 512 px.

Weights:  python tools/export_backbone.py work_dirs/simmim_convnext_base/epoch_100.pth work_dirs/backbone.pth
              --to mmpretrain
Run:      bash tools/dist_train.sh configs/transfer/segmentation/upernet_convnext_base_ade20k.py 8
              --pretrained work_dirs/backbone.pth
Batch:    16 = 8 GPUs x 2
Result:   none published for SimMIM. Rate 1e-4, layer decay 0.9 and drop path 0.4 are starting points.
"""

_base_ = 'upernet_swin_base_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='base',
        out_indices=(0, 1, 2, 3),
        gap_before_final_norm=False,
        drop_path_rate=0.4,
        init_cfg=dict(
            type='simmim_mm.CheckedPretrained',
            checkpoint='work_dirs/backbone.pth',
            prefix='backbone.',
            new=['norm0', 'norm1', 'norm2'],
            scratch=[
                dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=0.02, bias=0.0),
                dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
            ],
        ),
    )
)

optim_wrapper = dict(optimizer=dict(lr=1e-4))
