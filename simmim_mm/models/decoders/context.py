"""Decoders whose cells look at each other."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from simmim_mm.masking import Cells, gather_cells
from simmim_mm.models.decoders.base import Decoder

INIT_CFG = (dict(type='TruncNormal', layer=['Linear', 'ConvTranspose2d'], std=0.02, bias=0.0),)


class ContextDecoder(Decoder):
    """Layers that mix cells, and at the end one linear layer and a pixel shuffle.

    A subclass implements :meth:`refine`. For selected cells, the linear layer, which is wide, sees those alone; what
    mixes cells needs all of them.

    Args:
        in_channels: See :class:`Decoder`, for this and the next two.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        width: Channels of what :meth:`refine` returns.
        fineness: Its positions per side of a cell; must divide ``upscale``.
        init_cfg: MMEngine's. By default, the weights of linear layers and transposed convolutions come from a truncated
            normal distribution with std 0.02, and their biases are 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        upscale: int,
        width: int,
        fineness: int = 1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, upscale, list(INIT_CFG) if init_cfg is None else init_cfg)
        self.rest = upscale // fineness
        self.projection = nn.Linear(width, out_channels * self.rest**2)

    @abstractmethod
    def refine(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Mixes cells.

        Args:
            features: (B, in_channels, h, w)
            hidden: (B, h', w') bool.

        Returns:
            (B, h * fineness, w * fineness, width), channels last.
        """

    def decode(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Predicts a whole map."""
        return self._project(self.refine(features, hidden))

    def decode_cells(self, features: Tensor, hidden: Tensor, cells: Cells) -> Tensor:
        """Predicts selected cells; the last layer leaves the others out."""
        refined = self.refine(features, hidden)
        return self._project(gather_cells(refined.movedim(-1, 1), cells).movedim(1, -1))

    def _project(self, refined: Tensor) -> Tensor:
        """(N, a, b, width) to (N, out_channels, a * rest, b * rest)."""
        values = self.projection(refined).unflatten(-1, (self.out_channels, self.rest, self.rest))
        # Not F.pixel_shuffle: its backward fails where no cell was selected.
        return values.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
