"""Heads: how predictions are scored."""

from simmim_mm.models.heads.reconstruction import ReconstructionHead

__all__ = ['ReconstructionHead']
