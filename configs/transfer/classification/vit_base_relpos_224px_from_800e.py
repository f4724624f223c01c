"""Fine-tuning of the authors' ViT-B on ImageNet at 224 px, pre-trained for 800 epochs.

Recipe:   https://github.com/microsoft/SimMIM, simmim_finetune__vit_base__img224__800ep
Weights:  python tools/export_backbone.py work_dirs/simmim_vit_base_relpos_800e/epoch_800.pth work_dirs/backbone.pth
              --to mmpretrain --rel-pos-bias per-block
Run:      bash tools/dist_train.sh configs/transfer/classification/vit_base_relpos_224px_from_800e.py 8
              --pretrained work_dirs/backbone.pth
Result:   83.8 % top-1 (published).

The position bias that all blocks share in pre-training is copied to each block. Patch tokens are averaged; the norm
after that is new, and takes the place of the one before it in pre-training.
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='BEiTViT',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='avg_featmap',
        final_norm=False,
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
        use_shared_rel_pos_bias=False,
        layer_scale_init_value=0.1,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='simmim_mm.CheckedPretrained',
            checkpoint='work_dirs/backbone.pth',
            prefix='backbone.',
            new=['ln2'],
            unused=['ln1'],
            scratch=dict(type='simmim_mm.DepthScaledInit'),
        ),
    ),
    neck=None,
    head=dict(in_channels=768),
)

optim_wrapper = dict(
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        custom_keys={'cls_token': dict(decay_mult=0.0), 'relative_position_bias_table': dict(decay_mult=1.0)},
    )
)
