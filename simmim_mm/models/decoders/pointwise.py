"""Decoders whose cells do not look at each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from simmim_mm.masking import Cells
from simmim_mm.models.decoders.base import Decoder


class PointwiseDecoder(Decoder):
    """Layers of 1x1 convolutions and activations, and a pixel shuffle at the end.

    For selected cells, the convolutions are matrix products of their features alone.

    Args:
        widths: Channels between the convolutions; a GELU follows each convolution but the last.
        in_channels: See :class:`Decoder`, for this and the next three.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        init_cfg: MMEngine's.
    """

    def __init__(
        self, widths: Sequence[int], in_channels: int, out_channels: int, upscale: int, init_cfg: dict | None = None
    ) -> None:
        super().__init__(in_channels, out_channels, upscale, init_cfg)
        layers: list[nn.Module] = []
        for before, width in pairwise((in_channels, *widths)):
            layers += [nn.Conv2d(before, width, kernel_size=1), nn.GELU()]
        layers.append(nn.Conv2d((in_channels, *widths)[-1], out_channels * upscale**2, kernel_size=1))
        self.decoder = nn.Sequential(*layers, nn.PixelShuffle(upscale))

    def decode(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Predicts a whole map."""
        return self.decoder(features)

    def decode_cells(self, features: Tensor, hidden: Tensor, cells: Cells) -> Tensor:
        """Predicts selected cells without predicting the others."""
        values = features.permute(0, 2, 3, 1).flatten(0, 2)[cells.positions]  # (N, D)
        for layer in list(self.decoder)[:-1]:
            if isinstance(layer, nn.Conv2d):
                values = F.linear(values, layer.weight.flatten(1), layer.bias)
            else:
                values = layer(values)
        return values.view(-1, self.out_channels, self.upscale, self.upscale)
