"""A prediction head of two layers."""

from __future__ import annotations

from simmim_mm.models.decoders.checks import check_whole
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
        if hidden_channels is not None:
            check_whole(hidden_channels, 'hidden_channels', 'MLPDecoder')
        width = in_channels if hidden_channels is None else hidden_channels
        super().__init__((width,), in_channels, out_channels, upscale, init_cfg)
