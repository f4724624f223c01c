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
from simmim_mm.models.losses import (
    CrossEntropyLoss,
    GaussianNLLLoss,
    L1Loss,
    L2Loss,
    Loss,
    MixtureNLLLoss,
    SmoothL1Loss,
)
from simmim_mm.models.maskers import PixelMasker, TokenMasker, VisibleMasker
from simmim_mm.models.preprocessor import MaskedImagePreprocessor
from simmim_mm.models.simmim import SimMIM
from simmim_mm.models.simple_pyramid import SimplePyramid
from simmim_mm.models.targets import (
    ColorBinTarget,
    ColorClusterTarget,
    FeatureTarget,
    HOGTarget,
    PixelTarget,
    Target,
    TokenTarget,
)

__all__ = [
    'ColorBinTarget',
    'ColorClusterTarget',
    'Companion',
    'ContrastiveCompanion',
    'CrossAttentionDecoder',
    'CrossEntropyLoss',
    'Decoder',
    'DeconvDecoder',
    'DepthScaledInit',
    'FeatureTarget',
    'GaussianNLLLoss',
    'HOGTarget',
    'L1Loss',
    'L2Loss',
    'LinearDecoder',
    'Loss',
    'MLPDecoder',
    'MaskedImagePreprocessor',
    'MixtureNLLLoss',
    'PixelMasker',
    'PixelTarget',
    'ReconstructionHead',
    'ResPostNormInit',
    'SimMIM',
    'SimplePyramid',
    'SmoothL1Loss',
    'SwinDecoder',
    'Target',
    'TokenMasker',
    'TokenTarget',
    'TransformerDecoder',
    'VisibleMasker',
]
