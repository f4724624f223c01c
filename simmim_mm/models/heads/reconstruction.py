"""Target, loss and the mean over what was hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from simmim_mm.datasets.transforms.geometry import check_size
from simmim_mm.masking import Cells, gather_cells, hidden_weight
from simmim_mm.models.derive import build_derived, check_config, find_class
from simmim_mm.models.heads.pairs import check_kinds, check_pair, check_part
from simmim_mm.models.targets.pixel_range import check_pixel_range, check_raw_range
from simmim_mm.options import is_number
from simmim_mm.registry import MODELS

# Keeps the loss of an empty mask at 0 instead of 0 / 0; the authors' value.
EPSILON = 1e-5


@MODELS.register_module()
class ReconstructionHead(BaseModule):
    """Scores predictions, on hidden positions if not said otherwise (SimMIM, section 3.4 of arXiv 2111.09886).

    ``sum(loss(y, x) * weight) / (sum(weight) + 1e-5) / channels``, with the sum of the losses over positions and
    channels and that of ``weight`` over positions. The weight is 1 where a position was hidden. Where one was visible,
    it is 0 for ``area='hidden'`` and ``visible_weight`` for ``area='all'``. With ``channel_weights``, the loss of each
    channel is multiplied by its weight, and their sum stands in place of ``channels``. In fp32 whatever the autocast.
    An empty mask gives 0.

    Args:
        image_channels: Channels of the images. SimMIM finds out this one and the next three.
        pixel_range: Lowest and highest pixel value of each channel, normalised; for targets that need it.
        image_hw: (H, W) of the images; for targets that need it.
        raw_range: Lowest and highest pixel value before the normalisation; for targets that need it.
        target: Config of the target.
        loss: Config of the loss.
        area: ``'hidden'`` to score hidden positions, ``'all'`` for visible ones too (table 4 of the paper).
        visible_weight: Weight of visible positions, for ``area='all'``; 1 where it is None.
        channel_weights: A number from 0 for each channel of the target; all 1 where it is None.
        init_cfg: MMEngine's.

    Attributes:
        out_channels: What the decoder must predict for each position.
        shows_images: Whether predictions can be turned into images.

    Raises:
        ValueError: If an argument is out of range, or target and loss do not fit each other.
    """

    target: Any
    loss_fn: Any
    channel_weights: Tensor | None

    def __init__(
        self,
        image_channels: int,
        pixel_range: Sequence[Sequence[float]] | None = None,
        image_hw: tuple[int, int] | None = None,
        target: dict[str, Any] | None = None,
        loss: dict[str, Any] | None = None,
        area: str = 'hidden',
        visible_weight: float | None = None,
        channel_weights: Sequence[float] | None = None,
        init_cfg: dict | None = None,
        raw_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if area not in ('hidden', 'all'):
            raise ValueError(f"area={area!r} of ReconstructionHead is unknown; use 'hidden' or 'all'")
        if visible_weight is not None and (not is_number(visible_weight) or visible_weight < 0):
            raise ValueError(
                f'visible_weight={visible_weight!r} of ReconstructionHead must be a number from 0, or None'
            )
        if visible_weight is not None and area == 'hidden':
            raise ValueError(
                f"visible_weight={visible_weight!r} of ReconstructionHead has no use with area='hidden', where visible "
                "positions do not count; set area='all'"
            )
        if pixel_range is not None:
            check_pixel_range(pixel_range, image_channels, 'ReconstructionHead')
        if image_hw is not None:
            check_size(image_hw, 'image_hw')
        check_raw_range(raw_range, 'ReconstructionHead')
        self.area = area
        self.visible_weight = 1.0 if visible_weight is None else float(visible_weight)
        for slot, cfg in (('target', target), ('loss', loss)):
            if cfg is not None:
                check_config(cfg, f'head.{slot}')
        self.target = build_derived(
            target or dict(type='simmim_mm.PixelTarget'),
            'head.target',
            optional=dict(pixel_range=pixel_range, image_hw=image_hw, raw_range=raw_range),
            image_channels=image_channels,
        )
        check_part(self.target, 'target')
        num_classes = getattr(self.target, 'num_classes', None)
        loss = loss or dict(type='simmim_mm.L1Loss')
        constructor: Any = find_class(loss)
        if getattr(constructor, 'takes_labels', False):  # its constructor would miss the number of labels
            check_kinds(self.target, constructor.__name__, takes_labels=True)
        self.loss_fn = build_derived(loss, 'head.loss', optional=dict(num_classes=num_classes))
        check_part(self.loss_fn, 'loss')
        check_pair(self.target, self.loss_fn)
        self._set_channel_weights(channel_weights)

    def _set_channel_weights(self, weights: Sequence[float] | None) -> None:
        self._divisor: float | None = None
        if weights is None:
            self.channel_weights = None
            return
        usable = isinstance(weights, Sequence) and not isinstance(weights, str) and all(map(is_number, weights))
        if not usable or len(weights) != self.target.channels or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(
                f'channel_weights={weights!r} of ReconstructionHead must be a list of {self.target.channels} numbers '
                f'from 0, one for each channel of {type(self.target).__name__}, and not all 0'
            )
        self._divisor = float(sum(weights))
        values = torch.tensor(list(weights), dtype=torch.float32).view(1, -1, 1, 1)
        self.register_buffer('channel_weights', values, persistent=False)

    @property
    def out_channels(self) -> int:
        """Channels that the decoder must predict for each position."""
        return self.target.channels * self.loss_fn.params_per_channel

    @property
    def shows_images(self) -> bool:
        """Whether predictions can be turned into images."""
        return getattr(self.target, 'shows_images', hasattr(self.target, 'to_images'))

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
        distance, divisor = self._distance(prediction, images, cells)
        weight = hidden_weight(self.scored(hidden), cells, prediction.shape[-1])
        if self.visible_weight != 1:
            weight = torch.where(hidden_weight(hidden, cells, prediction.shape[-1]), 1.0, self.visible_weight)
        total = (distance * weight).sum()
        return {'loss': total / (weight.sum() + EPSILON) / divisor}

    def hidden_losses(self, prediction: Tensor, images: Tensor, hidden: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """The loss of each image by itself, over its hidden positions, whatever the area.

        Args:
            prediction: (B, out_channels, H / stride, W / stride), a whole map.
            images: (B, C, H, W), normalised.
            hidden: (B, h, w) bool, what was hidden.
            grid_hw: Grid of the encoder's last map.

        Returns:
            (B,); 0 for an image of which nothing was hidden.
        """
        number = len(images) * grid_hw[0] * grid_hw[1]
        cells = Cells(torch.arange(number, device=images.device), grid_hw)
        distance, divisor = self._distance(gather_cells(prediction, cells), images, cells)
        weight = hidden_weight(hidden, cells, distance.shape[-1])

        def of_each_image(values: Tensor) -> Tensor:
            return values.reshape(len(images), -1).sum(dim=1)

        return of_each_image(distance * weight) / (of_each_image(weight) + EPSILON) / divisor

    def estimate(self, prediction: Tensor) -> Tensor:
        """What predictions stand for, in the target's own terms.

        Args:
            prediction: (B, out_channels, h, w)

        Returns:
            (B, target.channels, h, w), numbers, or labels.

        Raises:
            ValueError: If the loss does not say.
        """
        if hasattr(self.loss_fn, 'estimate'):
            return self.loss_fn.estimate(prediction)
        if self.loss_fn.params_per_channel == 1:
            return prediction
        name = type(self.loss_fn).__name__
        raise ValueError(
            f'{name} predicts {self.loss_fn.params_per_channel} numbers a channel and does not say what value they '
            f'stand for, which pictures and metrics show; give {name} a method estimate(prediction)'
        )

    def _distance(self, prediction: Tensor, images: Tensor, cells: Cells) -> tuple[Tensor, float]:
        """Losses of the positions of selected cells (N, C, s, s), and what their sum over channels is divided by."""
        target = gather_cells(self.target(images), cells)
        if target.is_floating_point():
            target = target.float()
        distance = self.loss_fn(prediction.float(), target)
        if self.channel_weights is None:
            return distance, distance.shape[1]
        return distance * self.channel_weights, self._divisor  # type: ignore[return-value]
