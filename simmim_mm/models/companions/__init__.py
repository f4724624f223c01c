"""Companions: second objectives beside the reconstruction, or in its place."""

from simmim_mm.models.companions.base import NOTHING_RECONSTRUCTED, Companion, build_companion, check_second_mask
from simmim_mm.models.companions.contrastive import ContrastiveCompanion

__all__ = ['NOTHING_RECONSTRUCTED', 'Companion', 'ContrastiveCompanion', 'build_companion', 'check_second_mask']
