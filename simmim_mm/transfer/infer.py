"""The config of an encoder, read off its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from simmim_mm.transfer.positions import table_window
from simmim_mm.transfer.recognise import Translated

_HEAD_WIDTH = 64  # of the plain ViT, whose weights do not tell


def infer_backbone(found: Translated, meta: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Finds out what an encoder was built with.

    Args:
        found: Its weights.
        meta: What the file says beside them: Hugging Face's ``config.json``, or nothing.
        path: Where they come from, for messages.

    Returns:
        Config of the backbone, with ``img_size``.

    Raises:
        ValueError: If the weights do not tell, or are incomplete.
    """
    try:
        if found.family in ('SwinTransformer', 'SwinTransformerV2'):
            return _swin(found, meta, path)
        return _vit(found, meta, path)
    except KeyError as error:
        raise ValueError(f'{path!r} seems to be a {found.family}, but lacks {error.args[0]}') from error


def _swin(found: Translated, meta: Mapping[str, Any], path: str) -> dict[str, Any]:
    weights, second = found.encoder, found.family == 'SwinTransformerV2'
    embedding = weights['patch_embed.projection.weight']
    blocks = {
        tuple(map(int, match.groups())) for key in weights if (match := re.match(r'stages\.(\d+)\.blocks\.(\d+)', key))
    }
    stages = 1 + max((stage for stage, _ in blocks), default=-1)
    depths = [1 + max((block for number, block in blocks if number == stage), default=-1) for stage in range(stages)]
    heads_of = 'logit_scale' if second else 'relative_position_bias_table'
    at = [f'stages.{stage}.blocks.0.attn.w_msa' for stage in range(stages)]
    heads = [weights[f'{where}.{heads_of}'].shape[0 if second else 1] for where in at]
    windows = (
        _windows_v2(found, meta, stages, path)
        if second
        else [table_window(weights[f'{where}.relative_position_bias_table'].shape[0])[0] for where in at]
    )
    patch = embedding.shape[-1]
    config: dict[str, Any] = dict(
        type=f'mmpretrain.{found.family}',
        arch=dict(embed_dims=embedding.shape[0], depths=depths, num_heads=heads),
        img_size=meta.get('image_size', windows[-1] * patch * 2 ** (stages - 1)),
        patch_size=patch,
        in_channels=embedding.shape[1],
        drop_path_rate=0.0,
    )
    if stages != 4:
        config['out_indices'] = (stages - 1,)
    if 'absolute_pos_embed' in weights:
        config['use_abs_pos_embed'] = True
    if second:
        config['arch']['extra_norm_every_n_blocks'] = 0
        config['window_size'] = windows
        pretrained = meta.get('pretrained_window_sizes')
        if pretrained and any(pretrained):
            config['pretrained_window_sizes'] = list(pretrained)
    elif len(set(windows)) == 1:
        config['window_size'] = windows[0]
    else:
        config['stage_cfgs'] = [dict(window_size=window) for window in windows]
    return config


def _windows_v2(found: Translated, meta: Mapping[str, Any], stages: int, path: str) -> list[int]:
    """Windows of Swin V2 stand in no weight, but in tables that some files keep."""
    if 'window_size' in meta:
        side = meta.get('image_size', 0) // meta.get('patch_size', 4)
        return [min(meta['window_size'], side // 2**stage) if side else meta['window_size'] for stage in range(stages)]
    windows = []
    for stage in range(stages):
        sides = [
            (value.shape[1] + 1) // 2
            for key, value in found.derived.items()
            if re.search(rf'(stages|layers)\.{stage}\.blocks\.0\..*relative_coords_table$', key)
        ]
        if not sides:
            raise ValueError(f'{path!r} does not tell the windows of this Swin V2; name its config with --config')
        windows.append(sides[0])
    return windows


def _vit(found: Translated, meta: Mapping[str, Any], path: str) -> dict[str, Any]:
    weights = found.encoder
    width, channels, _, patch = weights['patch_embed.projection.weight'].shape
    layers = 1 + max(int(match[1]) for key in weights if (match := re.match(r'layers\.(\d+)\.', key)))
    shared = weights.get('rel_pos_bias.relative_position_bias_table')
    table = weights.get('layers.0.attn.relative_position_bias_table', shared)
    heads = table.shape[1] if table is not None else meta.get('num_attention_heads')
    if heads is None and width % _HEAD_WIDTH:
        raise ValueError(
            f'the weights of {path!r} do not tell the number of attention heads, and their width of {width} is no '
            f'multiple of {_HEAD_WIDTH}; name the config with --config'
        )
    config: dict[str, Any] = dict(
        type=f'mmpretrain.{found.family}',
        arch=dict(
            embed_dims=width,
            num_layers=layers,
            num_heads=heads or width // _HEAD_WIDTH,
            feedforward_channels=weights['layers.0.ffn.layers.0.0.weight'].shape[0],
        ),
        patch_size=patch,
        in_channels=channels,
        out_type='featmap',
        final_norm='ln1.weight' in weights,
    )
    if found.family == 'VisionTransformer':
        config['img_size'] = patch * _side(weights['pos_embed'], path)
        return config
    positions = weights.get('pos_embed')
    cells = (
        table_window(table.shape[0])[0] if table is not None else None if positions is None else _side(positions, path)
    )
    if cells is None:
        raise ValueError(f'{path!r} does not tell the image size of this ViT; name its config with --config')
    config.update(
        img_size=patch * cells,
        use_abs_pos_emb=positions is not None,
        use_rel_pos_bias=shared is None and table is not None,
        use_shared_rel_pos_bias=shared is not None,
        layer_scale_init_value=0.1 if 'layers.0.gamma_1' in weights else 0.0,
    )
    return config


def _side(positions: Tensor, path: str) -> int:
    """Cells per side of a square grid of absolute positions with a class token."""
    side = round((positions.shape[1] - 1) ** 0.5)
    if side**2 != positions.shape[1] - 1:
        raise ValueError(f'the positions in {path!r} are of no square grid; name the config with --config')
    return side
