"""Target, loss and the mean over what was hidden."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from simmim_mm.masking import Cells, gather_cells, hidden_weight
from simmim_mm.models.derive import build_derived, check_config
from simmim_mm.registry import MODELS

# Keeps the loss of an empty mask at 0 instead of 0 / 0; the authors' value.
EPSILON = 1e-5


@MODELS.register_module()
class ReconstructionHead(BaseModule):
    """Scores predictions, on hidden positions if not said otherwise (SimMIM, section 3.4 of arXiv 2111.09886).

    ``sum(loss(y, x) * hidden) / (sum(hidden) + 1e-5) / channels``, with the sum of the losses over positions and
    channels and that of ``hidden`` over positions. In fp32 whatever the autocast. An empty mask gives 0.

    Args:
        image_channels: Channels of the images. SimMIM finds it out.
        target: Config of the target.
        loss: Config of the loss.
        area: ``'hidden'`` to score hidden positions, ``'all'`` for visible ones too (table 4 of the paper).
        init_cfg: MMEngine's.

    Attributes:
        out_channels: What the decoder must predict for each position.
    """

    target: Any
    loss_fn: Any

    def __init__(
        self,
        image_channels: int,
        target: dict[str, Any] | None = None,
        loss: dict[str, Any] | None = None,
        area: str = 'hidden',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if area not in ('hidden', 'all'):
            raise ValueError(f"area={area!r} of ReconstructionHead is unknown; use 'hidden' or 'all'")
        self.area = area
        for slot, cfg in (('target', target), ('loss', loss)):
            if cfg is not None:
                check_config(cfg, f'head.{slot}')
        self.target = build_derived(
            target or dict(type='simmim_mm.PixelTarget'), 'head.target', image_channels=image_channels
        )
        self.loss_fn = build_derived(loss or dict(type='simmim_mm.L1Loss'), 'head.loss')
        for part, slot in ((self.target, 'target'), (self.loss_fn, 'loss')):
            if not hasattr(part, 'channels' if slot == 'target' else 'params_per_channel'):
                raise ValueError(
                    f'{type(part).__name__} is no {slot} of this package (see docs/architecture.md); change '
                    f'model.head.{slot}'
                )

    @property
    def out_channels(self) -> int:
        """Channels that the decoder must predict for each position."""
        return self.target.channels * self.loss_fn.params_per_channel

    def scored(self, hidden: Tensor) -> Tensor:
        """Which cells count: a mask like ``hidden``, (B, h, w) bool."""
        return hidden if self.area == 'hidden' else torch.ones_like(hidden)

    def loss(self, prediction: Tensor, images: Tensor, hidden: Tensor, cells: Cells) -> dict[str, Tensor]:
        """Scores the predictions of the selected cells.

        Args:
            prediction: (N, out_channels, s, s)
            images: (B, C, H, W), normalised.
            hidden: (B, h, w) bool, what was hidden.
            cells: The N selected cells, those that hold any position of :meth:`scored`; positions outside them do not
                count.

        Returns:
            ``loss``: a scalar.
        """
        target = gather_cells(self.target(images), cells).float()
        distance = self.loss_fn(prediction.float(), target)
        weight = hidden_weight(self.scored(hidden), cells, prediction.shape[-1])
        total = (distance * weight).sum()
        return {'loss': total / (weight.sum() + EPSILON) / distance.shape[1]}
