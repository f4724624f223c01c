"""Losses: how far a prediction is from its target, position by position."""

from simmim_mm.models.losses.base import Loss
from simmim_mm.models.losses.classification import CrossEntropyLoss
from simmim_mm.models.losses.likelihood import GaussianNLLLoss, MixtureNLLLoss
from simmim_mm.models.losses.regression import L1Loss, L2Loss, SmoothL1Loss

__all__ = ['CrossEntropyLoss', 'GaussianNLLLoss', 'L1Loss', 'L2Loss', 'Loss', 'MixtureNLLLoss', 'SmoothL1Loss']
