"""Transforms: load, crop, flip, draw a mask, pack."""

from simmim_mm.datasets.transforms.geometry import CenterCrop, RandomFlip, RandomResizedCrop
from simmim_mm.datasets.transforms.loading import LoadImage, UnreadableImageError
from simmim_mm.datasets.transforms.masks import BlockwiseMask, MaskGenerator, RandomPatchMask, SquareMask
from simmim_mm.datasets.transforms.packing import PackMaskedImage

__all__ = [
    'BlockwiseMask',
    'CenterCrop',
    'LoadImage',
    'MaskGenerator',
    'PackMaskedImage',
    'RandomFlip',
    'RandomPatchMask',
    'RandomResizedCrop',
    'SquareMask',
    'UnreadableImageError',
]
