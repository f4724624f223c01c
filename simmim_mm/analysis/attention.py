"""Attention weights of an encoder, as its own code computes them, and where their tokens lie in the image.

Shapes here: B images, n windows of N tokens each (one window, if all tokens see each other), h x w cells of a layer's
map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from mmpretrain.models.backbones.hivit import Attention as HiViTAttention
from mmpretrain.models.utils import BEiTAttention, MultiheadAttention, ShiftWindowMSA
from mmpretrain.models.utils.attention import WindowMSA, WindowMSAV2
from torch import Tensor, nn

from simmim_mm.acceleration.layout import WindowLayout
from simmim_mm.models.outputs import token_grid
from simmim_mm.models.probe import evaluating

# Attention between all tokens of the image, whose weights pass through a dropout.
GLOBAL = (BEiTAttention, HiViTAttention)
# What the host adds to the scores of pairs that may not see each other is -100.
APART = -50.0


class LayerAttention(NamedTuple):
    """The attention of one layer.

    Attributes:
        name: Of the module in the encoder.
        weights: (B, n, heads, N, N), each row, of a query, sums to 1. Tokens that stand for no cell come first.
        num_extra: How many of those there are, such as a class token.
        places: (n, N - num_extra, 2) int64, row and column of each cell in the layer's map.
        allowed: (n, N - num_extra, N - num_extra) bool, which cells a query may look at, of the image and not of what
            it was padded with.
        grid_hw: (h, w) of the map.
        stride: Pixels per side of a cell, down and across.
    """

    name: str
    weights: Tensor
    num_extra: int
    places: Tensor
    allowed: Tensor
    grid_hw: tuple[int, int]
    stride: tuple[float, float]

    def between_cells(self) -> Tensor:
        """Weights of the cells of the image alone, as shares.

        Returns:
            (B, n, heads, M, M) for M = N - num_extra; each row sums to 1, or is 0 where a query is padding.
        """
        weights = self.weights[..., self.num_extra :, self.num_extra :] * self.allowed[None, :, None]
        return weights / weights.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


@torch.no_grad()
def encoder_attention(backbone: nn.Module, images: Tensor) -> list[LayerAttention]:
    """The attention of all layers to whole images.

    Known are the windows of mmpretrain's Swin and Swin V2, and the global attention of its ViT, BEiT and HiViT.

    Args:
        backbone: The encoder, as it is built: without the levers of the acceleration, which do not compute weights.
        images: (B, C, H, W), normalised.

    Returns:
        The layers, in the order in which they are run; none, if the encoder has no attention, or of another kind.
    """
    image_hw = (images.shape[-2], images.shape[-1])
    layers: list[LayerAttention] = []
    with ExitStack() as hooks:
        hooks.enter_context(evaluating(backbone))
        for name, module in backbone.named_modules():
            if isinstance(module, ShiftWindowMSA) and type(module.w_msa) in (WindowMSA, WindowMSAV2):
                hooks.enter_context(_window_attention(module, name, image_hw, layers))
            elif type(module) in GLOBAL:
                keep = _global_keeper(backbone, name, image_hw, layers)
                hooks.enter_context(_dropped(module.attn_drop, keep))
            elif type(module) is MultiheadAttention:
                hooks.enter_context(_fused(module, _global_keeper(backbone, name, image_hw, layers)))
        backbone(images)
    return layers


@contextmanager
def _dropped(dropout: nn.Module, keep: Callable[[Tensor], None]) -> Iterator[None]:
    """Keeps what a dropout gets, which is the weights."""
    handle = dropout.register_forward_pre_hook(lambda module, args: keep(args[0]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _fused(module: MultiheadAttention, keep: Callable[[Tensor], None]) -> Iterator[None]:
    """Keeps the weights of a fused attention, which does not hand them out: what it makes of the identity as values."""
    attend = module.scaled_dot_product_attention

    def spy(query: Tensor, key: Tensor, value: Tensor, **kwargs: Any) -> Tensor:
        ones = torch.eye(key.shape[-2], dtype=value.dtype, device=value.device).expand(*key.shape[:-1], -1)
        keep(attend(query, key, ones, **kwargs))
        return attend(query, key, value, **kwargs)

    module.scaled_dot_product_attention = spy
    try:
        yield
    finally:
        module.scaled_dot_product_attention = attend


def _global_keeper(
    backbone: nn.Module, name: str, image_hw: tuple[int, int], layers: list[LayerAttention]
) -> Callable[[Tensor], None]:
    def keep(weights: Tensor) -> None:
        extra = int(getattr(backbone, 'num_extra_tokens', 0))
        number = weights.shape[-1] - extra
        grid_hw = token_grid(torch.empty(1, number, 0), image_hw)
        places = _places(grid_hw, weights.device)[None]
        allowed = torch.ones(1, number, number, dtype=torch.bool, device=weights.device)
        stride = (image_hw[0] / grid_hw[0], image_hw[1] / grid_hw[1])
        layers.append(LayerAttention(name, weights[:, None].float(), extra, places, allowed, grid_hw, stride))

    return keep


@contextmanager
def _window_attention(
    module: ShiftWindowMSA, name: str, image_hw: tuple[int, int], layers: list[LayerAttention]
) -> Iterator[None]:
    """Keeps the weights of windows, with what the host says of the map and of pairs that may not see each other."""
    seen: dict[str, Any] = {}

    def keep(weights: Tensor) -> None:
        height, width = seen['map']
        window = module.window_size
        # As the host has it: a map of a single window is not shifted, unless it may be padded.
        shift = module.shift_size if min(height, width) > window or module.pad_small_map else 0
        padded = (-(-height // window) * window, -(-width // window) * window)
        layout = WindowLayout(*padded, window, shift)
        # The same way as the tokens: (1, H W, 2) to (n, N, 2).
        places = layout.split(_places(padded, weights.device)[None], 1, 1)[0, 0, :, 0]
        inside = (places[..., 0] < height) & (places[..., 1] < width)
        allowed = inside[:, :, None] & inside[:, None]
        if seen['mask'] is not None:
            allowed &= seen['mask'] > APART
        grouped = weights.unflatten(0, (-1, layout.number)).float()
        stride = (image_hw[0] / height, image_hw[1] / width)
        layers.append(LayerAttention(name, grouped, 0, places, allowed, (height, width), stride))

    def see_map(module: nn.Module, args: tuple, kwargs: dict) -> None:
        seen['map'] = kwargs['hw_shape'] if 'hw_shape' in kwargs else args[1]

    def see_mask(module: nn.Module, args: tuple, kwargs: dict) -> None:
        seen['mask'] = kwargs['mask'] if 'mask' in kwargs else args[1] if len(args) > 1 else None

    handles = [
        module.register_forward_pre_hook(see_map, with_kwargs=True),
        module.w_msa.register_forward_pre_hook(see_mask, with_kwargs=True),
    ]
    try:
        with _dropped(module.w_msa.attn_drop, keep):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _places(grid_hw: tuple[int, int], device: torch.device) -> Tensor:
    """(h w, 2) int64, row and column of the cells of a map, row by row."""
    rows, columns = (torch.arange(side, device=device) for side in grid_hw)
    return torch.stack(torch.meshgrid(rows, columns, indexing='ij'), dim=-1).flatten(0, 1)
