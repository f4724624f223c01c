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
