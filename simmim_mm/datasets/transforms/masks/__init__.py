"""Mask generators: transforms that draw which cells are hidden."""

from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.datasets.transforms.masks.random_patch import RandomPatchMask

__all__ = ['MaskGenerator', 'RandomPatchMask']
