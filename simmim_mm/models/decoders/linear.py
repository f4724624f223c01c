"""SimMIM's prediction head."""

from __future__ import annotations

from simmim_mm.models.decoders.pointwise import PointwiseDecoder
from simmim_mm.registry import MODELS


@MODELS.register_module()
class LinearDecoder(PointwiseDecoder):
    """One linear layer from each cell's feature to all its pixels (SimMIM, section 3.3 of arXiv 2111.09886).

    Its keys are those of mmpretrain's ``SimMIMLinearDecoder`` and of the authors' code (``decoder.0.weight``).

    Args:
        in_channels: SimMIM finds out this one and the next two.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        init_cfg: MMEngine's.
    """

    def __init__(self, in_channels: int, out_channels: int, upscale: int, init_cfg: dict | None = None) -> None:
        super().__init__((), in_channels, out_channels, upscale, init_cfg)
