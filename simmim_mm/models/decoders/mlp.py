"""A prediction head of two layers."""

from __future__ import annotations

from torch import nn

from simmim_mm.models.decoders.pointwise import PointwiseDecoder
from simmim_mm.registry import MODELS


@MODELS.register_module()
class MLPDecoder(PointwiseDecoder):
    """Two linear layers with a GELU between them, cell by cell (table 2 of arXiv 2111.09886).

    Args:
        in_channels: SimMIM finds out this one and the next two.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        hidden_channels: Width between the layers; ``in_channels`` where it is None.
        init_cfg: MMEngine's.

    Raises:
        ValueError: If the width is no whole number from 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        upscale: int,
        hidden_channels: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        width = in_channels if hidden_channels is None else hidden_channels
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise ValueError(f'hidden_channels={width!r} of MLPDecoder must be a whole number from 1, or None')
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, kernel_size=1),
            nn.GELU(),
            nn.Conv2d(width, out_channels * upscale**2, kernel_size=1),
        ]
        super().__init__(layers, in_channels, out_channels, upscale, init_cfg)
