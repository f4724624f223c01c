"""Distances between numbers."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from simmim_mm.registry import MODELS


class _RegressionLoss(BaseModule):
    """A distance per value.

    Attributes:
        params_per_channel: Numbers that the decoder predicts for each channel of the target.
    """

    params_per_channel = 1


@MODELS.register_module()
class L1Loss(_RegressionLoss):
    """Absolute difference, SimMIM's default."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compares two tensors (N, C, s, s); returns the same shape."""
        return F.l1_loss(prediction, target, reduction='none')


@MODELS.register_module()
class L2Loss(_RegressionLoss):
    """Squared difference."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compares two tensors (N, C, s, s); returns the same shape."""
        return F.mse_loss(prediction, target, reduction='none')


@MODELS.register_module()
class SmoothL1Loss(_RegressionLoss):
    """Squared difference up to ``beta``, absolute difference beyond: ``d**2 / (2 * beta)`` and ``d - beta / 2``.

    Args:
        beta: Where one goes over into the other, above 0.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        if not isinstance(beta, int | float) or isinstance(beta, bool) or not 0 < beta < float('inf'):
            raise ValueError(f'beta={beta!r} of SmoothL1Loss must be a number above 0')
        self.beta = beta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compares two tensors (N, C, s, s); returns the same shape."""
        return F.smooth_l1_loss(prediction, target, reduction='none', beta=self.beta)
