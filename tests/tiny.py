"""Tiny encoders and models, for tests that cannot take a fixture too."""

from __future__ import annotations


def tiny_swin(window_size: int = 2, **kwargs) -> dict:
    """A Swin with 16 to 128 channels and stride 32, which takes 64 px images."""
    return dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
        img_size=64,
        drop_path_rate=0.0,
        stage_cfgs=dict(block_cfgs=dict(window_size=window_size)),
        **kwargs,
    )


def tiny_vit(**kwargs) -> dict:
    """A ViT of one layer, for tests of what happens around a model."""
    return (
        dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=16, num_layers=1, num_heads=1, feedforward_channels=16),
            img_size=64,
            patch_size=16,
            out_type='featmap',
        )
        | kwargs
    )


# The reference recipe with a Swin of four blocks at 64 px, as the text of a config; tests append what they change.
TINY_CONFIG = """
_base_ = '{base}'
model = dict(
    img_size=64,
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]),
        img_size=64, window_size=2))
train_dataloader = dict(
    batch_size={batch_size}, num_workers={num_workers}, persistent_workers={num_workers} > 0,
    dataset=dict(data_root={data_root!r}, pipeline=[
        dict(type='LoadImage'), dict(type='RandomResizedCrop', size=64), dict(type='RandomFlip'),
        dict(type='RandomPatchMask', mask_patch_size=32), dict(type='PackMaskedImage')]))
"""


def tiny_encoders() -> dict[str, dict]:
    """A tiny config for each row of the table of stems and its variants; all take 64 px images."""
    four_stages = dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
    vit = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    convnext = dict(arch=dict(depths=[1, 1, 1, 1], channels=[16, 32, 64, 128]), gap_before_final_norm=False)
    pyramid = dict(patch_sizes=[4, 2, 2, 2], strides=[4, 2, 2, 2], mlp_ratios=[2, 2, 2, 2], sr_ratios=[8, 4, 2, 1])
    return {
        'SwinTransformer': tiny_swin(),
        'SwinTransformerV2': dict(
            type='mmpretrain.SwinTransformerV2',
            arch=dict(extra_norm_every_n_blocks=0, **four_stages),
            img_size=64,
            window_size=[4, 4, 4, 2],
            drop_path_rate=0.0,
        ),
        'VisionTransformer': dict(
            type='mmpretrain.VisionTransformer', arch=vit, img_size=64, patch_size=16, out_type='featmap'
        ),
        'BEiTViT': dict(
            type='mmpretrain.BEiTViT',
            arch=vit,
            img_size=64,
            patch_size=16,
            out_type='featmap',
            use_abs_pos_emb=False,
            use_rel_pos_bias=False,
            use_shared_rel_pos_bias=True,
            layer_scale_init_value=0.1,
        ),
        'PCPVT': dict(
            type='mmpretrain.PCPVT',
            arch=dict(embed_dims=[16, 32, 64, 128], depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8], **pyramid),
            drop_path_rate=0.0,
        ),
        'HiViT': dict(
            type='mmpretrain.HiViT',
            # Eight blocks at the end: mmpretrain confuses the index of the last one with those of the six before.
            arch=dict(embed_dims=32, depths=[1, 1, 8], num_heads=2),
            img_size=64,
            out_indices=[7],  # mmpretrain's default is one list for all models, which each changes
        ),
        'ConvNeXt': dict(type='mmpretrain.ConvNeXt', **convnext),
        'ConvNeXt V2': dict(type='mmpretrain.ConvNeXt', use_grn=True, layer_scale_init_value=0.0, **convnext),
        'TIMMBackbone': dict(
            type='mmpretrain.TIMMBackbone',
            model_name='pvt_v2_b0',
            features_only=True,
            pretrained=False,
            depths=(1, 1, 1, 1),
            embed_dims=(8, 16, 32, 64),
            num_heads=(1, 2, 4, 8),
        ),
        'ResNet': dict(type='mmpretrain.ResNet', depth=18, base_channels=8),
    }


def build_model(**kwargs):
    """A tiny SimMIM with drawn weights, mask token included."""
    from simmim_mm.registry import MODELS

    model = MODELS.build({'type': 'SimMIM', 'backbone': tiny_swin(), 'img_size': 64, **kwargs})
    model.init_weights()
    return model
