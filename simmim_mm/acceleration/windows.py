"""Lever ``windows``: the shifted windows of mmpretrain's Swin and Swin V2 without what each forward makes anew.

The host pads by nothing, which copies the map, rolls it, cuts it, builds the mask of the shift, and undoes the copies
afterwards. Here, the mask is made once for each size of map. With the lever ``attention``, queries, keys and values go
from the map to the heads of the windows in one pass over the memory, and the result comes back in one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import ShiftWindowMSA
from torch import Tensor, nn

from simmim_mm.acceleration.attention import WindowAttention
from simmim_mm.acceleration.layout import WindowLayout
from simmim_mm.acceleration.swap import swap_classes
from simmim_mm.models import SimMIM
from simmim_mm.models.probe import evaluating


class StaticShiftWindowMSA(ShiftWindowMSA):
    """mmpretrain's ``ShiftWindowMSA``, with the same result."""

    def forward(self, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Attention in shifted windows.

        Args:
            query: (B, H W, C)
            hw_shape: (H, W)

        Returns:
            (B, H W, C)
        """
        height, width = int(hw_shape[0]), int(hw_shape[1])
        assert query.shape[1] == height * width, f'{query.shape[1]} tokens are no map of {height}x{width}'
        window, small = self.window_size, min(height, width)
        if small < window and not self.pad_small_map:
            raise ValueError(
                f'a map of {height}x{width} tokens is smaller than the window_size={window}; use larger images, a '
                'smaller window_size, or pad_small_map=True'
            )
        shift = 0 if small == window and not self.pad_small_map else self.shift_size
        right, bottom = -width % window, -height % window
        if right or bottom:
            query = F.pad(query.unflatten(1, (height, width)), (0, 0, 0, right, 0, bottom)).flatten(1, 2)
        layout = WindowLayout(height + bottom, width + right, window, shift)
        if isinstance(self.w_msa, WindowAttention):
            tokens = self.w_msa.attend_map(query, layout)
        else:
            windows = layout.split(query, 1, 1).flatten(0, 3)  # (B n, N, C)
            windows = self.w_msa(windows, mask=layout.mask(self, query.device))
            tokens = layout.join(windows.unflatten(0, (1, len(query), layout.number, 1)))
        if right or bottom:
            tokens = tokens.unflatten(1, (layout.height, layout.width))[:, :height, :width].flatten(1, 2)
        return self.drop(tokens)


def apply(model: nn.Module, value: Any) -> str:
    """Changes the blocks of Swin and Swin V2."""
    number = swap_classes(model, {ShiftWindowMSA: StaticShiftWindowMSA})
    if not number:
        return 'does not apply: no shifted windows of mmpretrain'
    if isinstance(model, SimMIM):  # makes the masks before anything is compiled
        parameter = next(model.parameters())
        image = parameter.new_zeros(1, model.data_preprocessor.channels, *model.image_hw)
        with evaluating(model.backbone), torch.no_grad():
            model.backbone(image)
    return f'{number} blocks of shifted windows with static masks'
