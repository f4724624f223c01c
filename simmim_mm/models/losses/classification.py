"""How probable the true label is."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from simmim_mm.models.losses.base import Loss
from simmim_mm.options import is_number, is_whole
from simmim_mm.registry import MODELS


@MODELS.register_module()
class CrossEntropyLoss(Loss):
    """Negative log probability of the true label, for targets of labels (table 5 of arXiv 2111.09886).

    The decoder predicts a logit a class, for each channel of the target by itself.

    Args:
        num_classes: Number of labels (P). It follows from the target.
        label_smoothing: Share of the probability, from 0 to below 1, that is wanted spread evenly over all classes.

    Raises:
        ValueError: If an argument is out of range, or the target has no labels.
    """

    takes_labels = True

    def __init__(self, num_classes: int | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not is_whole(num_classes) or num_classes < 2:  # type: ignore[operator]
            raise ValueError(
                f'num_classes={num_classes!r} of CrossEntropyLoss must be a whole number from 2. It follows from a '
                "target of labels, such as dict(type='ColorBinTarget'); for a target of numbers use "
                "loss=dict(type='L1Loss')"
            )
        if not is_number(label_smoothing) or not 0 <= label_smoothing < 1:
            raise ValueError(
                f'label_smoothing={label_smoothing!r} of CrossEntropyLoss must be a share from 0 to below 1'
            )
        self.params_per_channel = num_classes  # type: ignore[assignment]
        self.label_smoothing = float(label_smoothing)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compares logits (N, C * P, s, s) with labels (N, C, s, s); returns the shape of the labels, in nats."""
        logits = self.split(prediction).transpose(1, 2)
        return F.cross_entropy(logits, target, reduction='none', label_smoothing=self.label_smoothing)

    def estimate(self, prediction: Tensor) -> Tensor:
        """The most probable label: (B, C, h, w) int64."""
        return self.split(prediction).argmax(dim=2)
