"""UPerNet with the authors' ViT-B on ADE20K, 160,000 iterations at 512 px.

Recipe:   that of MAE and BEiT for ViT-B: rate 1e-4, layer decay 0.65, drop path 0.1, four maps of four blocks
Weights:  python tools/export_backbone.py work_dirs/simmim_vit_base_relpos_800e/epoch_800.pth work_dirs/backbone.pth
              --to mmpretrain --rel-pos-bias per-block --img-size 512
Run:      bash tools/dist_train.sh configs/transfer/segmentation/upernet_vit_base_relpos_ade20k.py 8
              --pretrained work_dirs/backbone.pth
Batch:    16 = 8 GPUs x 2
Result:   none published for SimMIM.

Position biases are of 512 px, so images are tested in crops of that size.
"""

_base_ = 'upernet_swin_base_ade20k.py'

crop_size = (512, 512)

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.BEiTViT',
        arch='base',
        img_size=512,
        patch_size=16,
        out_type='featmap',
        out_indices=[3, 5, 7, 11],
        final_norm=True,
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
        use_shared_rel_pos_bias=False,
        layer_scale_init_value=0.1,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='simmim_mm.CheckedPretrained',
            checkpoint='work_dirs/backbone.pth',
            prefix='backbone.',
            scratch=dict(type='simmim_mm.DepthScaledInit'),
        ),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=768, rescales=[4, 2, 1, 0.5]),
    decode_head=dict(in_channels=[768, 768, 768, 768], channels=768),
    auxiliary_head=dict(in_channels=768),
    test_cfg=dict(_delete_=True, mode='slide', crop_size=crop_size, stride=(341, 341)),
)

optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(layer_decay_rate=0.65, custom_keys={'cls_token': dict(decay_mult=0.0)}),
)
