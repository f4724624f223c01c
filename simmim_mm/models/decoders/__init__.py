"""Decoders: from the encoder's features to predictions."""

from simmim_mm.models.decoders.base import Decoder
from simmim_mm.models.decoders.linear import LinearDecoder
from simmim_mm.models.decoders.mlp import MLPDecoder

__all__ = ['Decoder', 'LinearDecoder', 'MLPDecoder']
