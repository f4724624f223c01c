"""Distances between numbers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from simmim_mm.models.losses.base import Loss
from simmim_mm.options import is_number
from simmim_mm.registry import MODELS


@MODELS.register_module()
class L1Loss(Loss):
    """Absolute difference, SimMIM's default."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compares two tensors (N, C, s, s); returns the same shape."""
        return F.l1_loss(prediction, target, reduction='none')


@MODELS.register_module()
class L2Loss(Loss):
    """Squared difference."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compares two tensors (N, C, s, s); returns the same shape."""
        return F.mse_loss(prediction, target, reduction='none')


@MODELS.register_module()
class SmoothL1Loss(Loss):
    """Squared difference up to ``beta``, absolute difference beyond: ``d**2 / (2 * beta)`` and ``d - beta / 2``.

    Args:
        beta: Where one goes over into the other, above 0.

    Raises:
        ValueError: If ``beta`` is out of range.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        if not is_number(beta) or beta <= 0:
            raise ValueError(f'beta={beta!r} of SmoothL1Loss must be a number above 0')
        self.beta = beta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compares two tensors (N, C, s, s); returns the same shape."""
        return F.smooth_l1_loss(prediction, target, reduction='none', beta=self.beta)
