"""Maskers: how the encoder is kept from seeing what is hidden."""

from simmim_mm.models.maskers.pixel import PixelMasker
from simmim_mm.models.maskers.token import TokenMasker
from simmim_mm.models.maskers.visible import VisibleMasker

__all__ = ['PixelMasker', 'TokenMasker', 'VisibleMasker']
