"""Lever ``merging``: patch merging of Swin and Swin V2 without ``nn.Unfold``.

Unfold hands out the tokens of a patch interleaved, channel by channel. Here, they stand one after the other, as they
lie in memory, and the weights that follow are reordered instead: they are small, and a norm does not mind the order.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import PatchMerging as PreNormMerging
from mmpretrain.models.utils.embed import PatchMerging
from torch import Tensor, nn

from simmim_mm.acceleration.norms import Source, normed_linear
from simmim_mm.acceleration.swap import swap_classes


def _merge(module: Any, x: Tensor, input_size: tuple[int, int], post_norm: bool) -> tuple[Tensor, tuple[int, int]]:
    height, width = int(input_size[0]), int(input_size[1])
    side = module.sampler.kernel_size[0]
    x = x.unflatten(1, (height, width))
    if height % side or width % side:
        x = module.adaptive_padding(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    grid_hw = (x.shape[1] // side, x.shape[2] // side)
    x = x.unflatten(2, (grid_hw[1], side)).unflatten(1, (grid_hw[0], side))  # (B, h, side, w, side, C)
    x = x.transpose(2, 3).flatten(3).flatten(1, 2)  # (B, h w, side side C)
    norm, reduction = module.norm, module.reduction
    weight = reduction.weight.unflatten(1, (-1, side**2)).transpose(1, 2).flatten(1)
    if norm is None or post_norm:
        x = F.linear(x, weight, reduction.bias)
        return (x if norm is None else norm(x)), grid_hw
    scale, shift = (p.unflatten(0, (-1, side**2)).t().flatten() for p in (norm.weight, norm.bias))
    source = Source(x, norm.normalized_shape, scale, shift, norm.eps)
    return normed_linear(F.layer_norm(*source), weight, reduction.bias, source), grid_hw


class StridedPreNormMerging(PreNormMerging):
    """mmcv's ``PatchMerging``, with the same result."""

    def forward(self, x: Tensor, input_size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """Merges patches: (B, H W, C) to (B, h w, D), and (h, w)."""
        return _merge(self, x, input_size, post_norm=False)


class StridedMerging(PatchMerging):
    """mmpretrain's ``PatchMerging``, with the same result."""

    def forward(self, x: Tensor, input_size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """Merges patches: (B, H W, C) to (B, h w, D), and (h, w)."""
        return _merge(self, x, input_size, post_norm=self.use_post_norm)


def _fits(module: nn.Module) -> bool:
    """Whether patches tile the map, and what follows can be reordered."""
    sampler: Any = module.sampler
    square = sampler.kernel_size[0] == sampler.kernel_size[1] and sampler.stride == sampler.kernel_size
    plain = tuple(sampler.dilation) == (1, 1) and tuple(sampler.padding) == (0, 0)
    reorders = module.norm is None or (type(module.norm) is nn.LayerNorm and module.norm.elementwise_affine)
    return square and plain and reorders and module.adaptive_padding is not None


def apply(model: nn.Module, value: Any) -> str:
    """Changes the patch merging of Swin and Swin V2."""
    number = swap_classes(model, {PreNormMerging: StridedPreNormMerging, PatchMerging: StridedMerging}, _fits)
    return f'{number} patch mergings' if number else 'does not apply: no patch merging that tiles its map'
