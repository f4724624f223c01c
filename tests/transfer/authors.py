"""Names and shapes of the authors' tiny models, written down from their code, and what it computes with them.

The values come from their own code, run on a CPU: microsoft/SimMIM (Swin and ViT) and microsoft/Swin-Transformer (Swin
V2, with ``norm_targets``), with weights drawn as in ``conftest.draw`` and the inputs of :func:`draw_inputs`.
"""

from __future__ import annotations

import numpy as np
import torch

DEPTHS, HEADS, WIDTH = (2, 2, 2, 2), (1, 2, 4, 8), 16
MASKS = {64: [[[1, 0], [1, 1]], [[0, 1], [0, 0]]], 128: [np.eye(4), 1 - np.eye(4)]}


def draw_inputs(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images, and masks of 32 px cells."""
    images = np.random.RandomState(11).standard_normal((2, 3, side, side))
    return torch.from_numpy(images).float(), torch.tensor(np.array(MASKS[side])).bool()


def _layer(name: str, out: int, inputs: int | None = None) -> dict[str, tuple[int, ...]]:
    """A linear layer, or a norm."""
    return {f'{name}.weight': (out,) if inputs is None else (out, inputs), f'{name}.bias': (out,)}


def _around(width: int, stride: int) -> dict[str, tuple[int, ...]]:
    return {'decoder.0.weight': (3 * stride**2, width, 1, 1), 'decoder.0.bias': (3 * stride**2,)}


def swin(second: bool) -> dict[str, tuple[int, ...]]:
    """Swin (windows of 2 at 64 px) or Swin V2 (windows of 8, 8, 8, 4 at 128 px): parameters and buffers."""
    shapes: dict[str, tuple[int, ...]] = {'mask_token': (1, 1, WIDTH), 'patch_embed.proj.weight': (WIDTH, 3, 4, 4)}
    shapes |= {'patch_embed.proj.bias': (WIDTH,)} | _layer('patch_embed.norm', WIDTH)
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        width, window = WIDTH * 2**stage, (8, 8, 8, 4)[stage] if second else 2
        for block in range(depth):
            name = f'layers.{stage}.blocks.{block}'
            shapes |= _layer(f'{name}.norm1', width) | _layer(f'{name}.norm2', width)
            shapes |= _layer(f'{name}.mlp.fc1', 4 * width, width) | _layer(f'{name}.mlp.fc2', width, 4 * width)
            shapes |= _layer(f'{name}.attn.proj', width, width) | {f'{name}.attn.qkv.weight': (3 * width, width)}
            shapes[f'{name}.attn.relative_position_index'] = (window**2, window**2)
            if second:
                shapes |= _layer(f'{name}.attn.cpb_mlp.0', 512, 2) | {f'{name}.attn.cpb_mlp.2.weight': (heads, 512)}
                shapes |= {f'{name}.attn.q_bias': (width,), f'{name}.attn.v_bias': (width,)}
                shapes[f'{name}.attn.logit_scale'] = (heads, 1, 1)
                shapes[f'{name}.attn.relative_coords_table'] = (1, 2 * window - 1, 2 * window - 1, 2)
            else:
                shapes[f'{name}.attn.qkv.bias'] = (3 * width,)
                shapes[f'{name}.attn.relative_position_bias_table'] = ((2 * window - 1) ** 2, heads)
        if stage < 3:
            shapes[f'layers.{stage}.downsample.reduction.weight'] = (2 * width, 4 * width)
            shapes |= _layer(f'layers.{stage}.downsample.norm', 2 * width if second else 4 * width)
    shapes |= _layer('norm', 8 * WIDTH)
    return {f'encoder.{key}': shape for key, shape in shapes.items()} | _around(8 * WIDTH, 32)


def vit() -> dict[str, tuple[int, ...]]:
    """Their ViT at 64 px: 16 px patches, 3 blocks, one position bias for all."""
    width, heads = 48, 4
    shapes: dict[str, tuple[int, ...]] = {'mask_token': (1, 1, width), 'cls_token': (1, 1, width)}
    shapes |= {'patch_embed.proj.weight': (width, 3, 16, 16), 'patch_embed.proj.bias': (width,)}
    shapes |= {'rel_pos_bias.relative_position_bias_table': (7 * 7 + 3, heads)}
    shapes |= {'rel_pos_bias.relative_position_index': (17, 17)} | _layer('norm', width)
    for block in range(3):
        name = f'blocks.{block}'
        shapes |= {f'{name}.gamma_1': (width,), f'{name}.gamma_2': (width,)}
        shapes |= _layer(f'{name}.norm1', width) | _layer(f'{name}.norm2', width)
        shapes |= _layer(f'{name}.mlp.fc1', 4 * width, width) | _layer(f'{name}.mlp.fc2', width, 4 * width)
        shapes |= _layer(f'{name}.attn.proj', width, width) | {f'{name}.attn.qkv.weight': (3 * width, width)}
        shapes |= {f'{name}.attn.q_bias': (width,), f'{name}.attn.v_bias': (width,)}
    return {f'encoder.{key}': shape for key, shape in shapes.items()} | _around(width, 16)


# Name -> shapes, image side, loss, mean of the absolute features, and what the file is.
MODELS = {
    'Swin': (swin(second=False), 64, 0.9143857359886169, 0.8125853702599102, 'SwinTransformer'),
    'ViT': (vit(), 64, 0.8391124606132507, 0.80958817350961, 'BEiTViT'),
    'Swin V2': (swin(second=True), 128, 0.9128766655921936, 0.8107586132296412, 'SwinTransformerV2'),
}
