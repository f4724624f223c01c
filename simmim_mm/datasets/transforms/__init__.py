"""Transforms: load, crop, flip, draw a mask, pack."""

from simmim_mm.datasets.transforms.geometry import CenterCrop, RandomFlip, RandomResizedCrop
from simmim_mm.datasets.transforms.loading import LoadImage, UnreadableImageError
from simmim_mm.datasets.transforms.masks import (
    BlockwiseMask,
    ConstantRatio,
    CosineRatio,
    LinearRatio,
    MaskGenerator,
    RandomPatchMask,
    SquareMask,
)
from simmim_mm.datasets.transforms.packing import PackMaskedImage

__all__ = [
    'BlockwiseMask',
    'CenterCrop',
    'ConstantRatio',
    'CosineRatio',
    'LinearRatio',
    'LoadImage',
    'MaskGenerator',
    'PackMaskedImage',
    'RandomFlip',
    'RandomPatchMask',
    'RandomResizedCrop',
    'SquareMask',
    'UnreadableImageError',
]
