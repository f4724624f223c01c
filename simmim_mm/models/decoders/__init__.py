"""Decoders: from the encoder's features to predictions."""

from simmim_mm.models.decoders.base import Decoder
from simmim_mm.models.decoders.cross_attention import CrossAttentionDecoder
from simmim_mm.models.decoders.deconv import DeconvDecoder
from simmim_mm.models.decoders.linear import LinearDecoder
from simmim_mm.models.decoders.mlp import MLPDecoder
from simmim_mm.models.decoders.swin import SwinDecoder
from simmim_mm.models.decoders.transformer import TransformerDecoder

__all__ = [
    'CrossAttentionDecoder',
    'Decoder',
    'DeconvDecoder',
    'LinearDecoder',
    'MLPDecoder',
    'SwinDecoder',
    'TransformerDecoder',
]
