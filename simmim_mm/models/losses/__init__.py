"""Losses: how far a prediction is from its target, position by position."""

from simmim_mm.models.losses.regression import L1Loss, L2Loss, SmoothL1Loss

__all__ = ['L1Loss', 'L2Loss', 'SmoothL1Loss']
