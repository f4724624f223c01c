"""Lever ``channels_last``: convolutional encoders whose maps lie in memory with the channels of a pixel side by side.

Convolutions of GPUs in half precision compute in this order, and ConvNeXt turns each map into it for its norms and
linear layers anyway. Shapes, keys and values are the same; weights of convolutions change the order of their memory.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.utils.norm import LayerNorm2d
from torch import Tensor, nn

from simmim_mm.acceleration.swap import swap_classes

# Class names of encoders, of mmpretrain, mmdet and mmseg. Classes that inherit from them count too.
ENCODERS = ('ConvNeXt', 'ResNet')


class ChannelsLastNorm2d(LayerNorm2d):
    """mmpretrain's ``LayerNorm2d``, which hands its map on as it computed it: the host's puts the channels first."""

    def forward(self, x: Tensor, data_format: str = 'channel_first') -> Tensor:
        """The host's result: (B, C, H, W), or (B, H, W, C) for ``'channel_last'``."""
        if data_format != 'channel_first':
            return super().forward(x, data_format=data_format)
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def apply(model: nn.Module, value: Any) -> str:
    """Changes the order of the encoder's weights, and of the maps that enter it."""
    backbone: Any = getattr(model, 'backbone', model)
    name = type(backbone).__name__
    if not any(cls.__name__ in ENCODERS for cls in type(backbone).__mro__):
        return f'does not apply: {name} is neither ConvNeXt nor ResNet'
    backbone.to(memory_format=torch.channels_last)
    backbone.register_forward_pre_hook(_reorder)
    swap_classes(backbone, {LayerNorm2d: ChannelsLastNorm2d})
    number = sum(isinstance(module, nn.Conv2d) for module in backbone.modules())
    return f'{number} convolutions of {name} take their maps with the channels last'


def _reorder(backbone: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Pre-hook of the encoder. Layers hand the order on."""
    images = args[0] if args else None
    if not isinstance(images, Tensor) or images.ndim != 4:
        return None
    return (images.contiguous(memory_format=torch.channels_last), *args[1:])
