"""SimMIM's prediction head."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from simmim_mm.masking import Cells
from simmim_mm.models.decoders.base import Decoder
from simmim_mm.registry import MODELS


@MODELS.register_module()
class LinearDecoder(Decoder):
    """One linear layer from each cell's feature to all its pixels (SimMIM, section 3.3 of arXiv 2111.09886).

    As a map: a 1x1 convolution and a pixel shuffle, under the same keys as in mmpretrain's ``SimMIMLinearDecoder`` and
    in the authors' code (``decoder.0.weight``). For selected cells: a matrix product of their features alone.
    """

    def __init__(self, in_channels: int, out_channels: int, upscale: int, init_cfg: dict | None = None) -> None:
        super().__init__(in_channels, out_channels, upscale, init_cfg)
        self.decoder = nn.Sequential(
            nn.Conv2d(in_channels, out_channels * upscale**2, kernel_size=1), nn.PixelShuffle(upscale)
        )

    def decode(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Predicts a whole map."""
        return self.decoder(features)

    def decode_cells(self, features: Tensor, hidden: Tensor, cells: Cells) -> Tensor:
        """Predicts selected cells without predicting the others."""
        selected = features.permute(0, 2, 3, 1).flatten(0, 2)[cells.positions]  # (N, D)
        convolution: Any = self.decoder[0]
        flat = F.linear(selected, convolution.weight.flatten(1), convolution.bias)
        return flat.view(-1, self.out_channels, self.upscale, self.upscale)
