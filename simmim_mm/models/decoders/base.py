"""What all decoders share."""

from __future__ import annotations

from abc import abstractmethod

from mmengine.model import BaseModule
from torch import Tensor

from simmim_mm.masking import Cells, gather_cells
from simmim_mm.models.decoders.checks import check_whole


class Decoder(BaseModule):
    """Turns the encoder's last feature map into predictions, for a whole map or for selected cells of it.

    A subclass implements :meth:`decode`. One whose cells do not look at each other (a 1x1 convolution, say) overrides
    :meth:`decode_cells` too, and computes no more than it is asked for.

    Args:
        in_channels: Channels of the feature map.
        out_channels: Channels of the prediction, per position.
        upscale: Positions of the prediction per side of a cell of the feature map (``s``).
        init_cfg: MMEngine's.

    Raises:
        ValueError: If one of the three is no whole number from 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, upscale: int, init_cfg: dict | list[dict] | None = None
    ) -> None:
        super().__init__(init_cfg)
        for name, value in (('in_channels', in_channels), ('out_channels', out_channels), ('upscale', upscale)):
            check_whole(value, name, type(self).__name__)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.upscale = upscale

    def forward(self, features: Tensor, hidden: Tensor, cells: Cells | None = None) -> Tensor:
        """Predicts the target.

        Args:
            features: (B, in_channels, h, w)
            hidden: (B, h', w') bool, what was hidden from the encoder.
            cells: The cells of the feature map to predict; all of them, as a map, where it is None.

        Returns:
            (N, out_channels, s, s) for N selected cells, or (B, out_channels, h * s, w * s).
        """
        return self.decode(features, hidden) if cells is None else self.decode_cells(features, hidden, cells)

    @abstractmethod
    def decode(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Predicts a whole map: (B, out_channels, h * s, w * s)."""

    def decode_cells(self, features: Tensor, hidden: Tensor, cells: Cells) -> Tensor:
        """Predicts selected cells: (N, out_channels, s, s). Here, by cutting them out of the whole map."""
        return gather_cells(self.decode(features, hidden), cells)
