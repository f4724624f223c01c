"""Mask generators: transforms that draw which cells are hidden."""

from simmim_mm.datasets.transforms.masks.base import MASK_KEYS, MaskGenerator
from simmim_mm.datasets.transforms.masks.blockwise import BlockwiseMask
from simmim_mm.datasets.transforms.masks.random_patch import RandomPatchMask
from simmim_mm.datasets.transforms.masks.ratio_schedules import ConstantRatio, CosineRatio, LinearRatio, RatioSchedule
from simmim_mm.datasets.transforms.masks.square import SquareMask

__all__ = [
    'MASK_KEYS',
    'BlockwiseMask',
    'ConstantRatio',
    'CosineRatio',
    'LinearRatio',
    'MaskGenerator',
    'RandomPatchMask',
    'RatioSchedule',
    'SquareMask',
]
