"""Transforms: load, crop, flip, draw a mask, pack."""

from simmim_mm.datasets.transforms.geometry import CenterCrop, RandomFlip, RandomResizedCrop
from simmim_mm.datasets.transforms.load_map import LoadMap
from simmim_mm.datasets.transforms.loading import LoadImage, UnreadableImageError
from simmim_mm.datasets.transforms.masks import (
    BlockwiseMask,
    ConstantRatio,
    CosineRatio,
    IrregularMask,
    LinearRatio,
    MaskGenerator,
    PixelMask,
    RandomPatchMask,
    RectangleMask,
    SaliencyMask,
    SemanticMask,
    SquareMask,
)
from simmim_mm.datasets.transforms.packing import PackMaskedImage

__all__ = [
    'BlockwiseMask',
    'CenterCrop',
    'ConstantRatio',
    'CosineRatio',
    'IrregularMask',
    'LinearRatio',
    'LoadImage',
    'LoadMap',
    'MaskGenerator',
    'PackMaskedImage',
    'PixelMask',
    'RandomFlip',
    'RandomPatchMask',
    'RandomResizedCrop',
    'RectangleMask',
    'SaliencyMask',
    'SemanticMask',
    'SquareMask',
    'UnreadableImageError',
]
