"""Decoders: from the encoder's features to predictions."""

from simmim_mm.models.decoders.base import Decoder
from simmim_mm.models.decoders.linear import LinearDecoder

__all__ = ['Decoder', 'LinearDecoder']
