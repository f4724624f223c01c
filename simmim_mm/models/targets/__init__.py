"""Targets: what the model is to predict."""

from simmim_mm.models.targets.pixel import PixelTarget

__all__ = ['PixelTarget']
