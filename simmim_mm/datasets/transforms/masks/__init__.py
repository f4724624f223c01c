"""Mask generators: transforms that draw which cells are hidden."""

from simmim_mm.datasets.transforms.masks.base import MASK_KEYS, MaskGenerator
from simmim_mm.datasets.transforms.masks.blockwise import BlockwiseMask
from simmim_mm.datasets.transforms.masks.irregular import IrregularMask
from simmim_mm.datasets.transforms.masks.pixel import PixelMask
from simmim_mm.datasets.transforms.masks.random_patch import RandomPatchMask
from simmim_mm.datasets.transforms.masks.ratio_schedules import ConstantRatio, CosineRatio, LinearRatio, RatioSchedule
from simmim_mm.datasets.transforms.masks.rectangle import RectangleMask
from simmim_mm.datasets.transforms.masks.saliency import SaliencyMask
from simmim_mm.datasets.transforms.masks.semantic import SemanticMask
from simmim_mm.datasets.transforms.masks.square import SquareMask

__all__ = [
    'MASK_KEYS',
    'BlockwiseMask',
    'ConstantRatio',
    'CosineRatio',
    'IrregularMask',
    'LinearRatio',
    'MaskGenerator',
    'PixelMask',
    'RandomPatchMask',
    'RatioSchedule',
    'RectangleMask',
    'SaliencyMask',
    'SemanticMask',
    'SquareMask',
]
