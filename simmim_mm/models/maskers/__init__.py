"""Maskers: how the encoder is kept from seeing what is hidden."""

from simmim_mm.models.maskers.pixel import PixelMasker
from simmim_mm.models.maskers.token import TokenMasker

__all__ = ['PixelMasker', 'TokenMasker']
