"""The parts of SimMIM: maskers hide, decoders decode, heads score, companions add an objective."""

from simmim_mm.models.companions import Companion, ContrastiveCompanion
from simmim_mm.models.decoders import (
    CrossAttentionDecoder,
    Decoder,
    DeconvDecoder,
    LinearDecoder,
    MLPDecoder,
    SwinDecoder,
    TransformerDecoder,
)
from simmim_mm.models.heads import ReconstructionHead
from simmim_mm.models.init import DepthScaledInit, ResPostNormInit
from simmim_mm.models.losses import L1Loss, L2Loss, SmoothL1Loss
from simmim_mm.models.maskers import PixelMasker, TokenMasker
from simmim_mm.models.preprocessor import MaskedImagePreprocessor
from simmim_mm.models.simmim import SimMIM
from simmim_mm.models.targets import PixelTarget

__all__ = [
    'Companion',
    'ContrastiveCompanion',
    'CrossAttentionDecoder',
    'Decoder',
    'DeconvDecoder',
    'DepthScaledInit',
    'L1Loss',
    'L2Loss',
    'LinearDecoder',
    'MLPDecoder',
    'MaskedImagePreprocessor',
    'PixelMasker',
    'PixelTarget',
    'ReconstructionHead',
    'ResPostNormInit',
    'SimMIM',
    'SmoothL1Loss',
    'SwinDecoder',
    'TokenMasker',
    'TransformerDecoder',
]
