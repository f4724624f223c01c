"""Companions: second objectives beside the reconstruction, or in its place."""

from simmim_mm.models.companions.base import Companion, build_companion
from simmim_mm.models.companions.contrastive import ContrastiveCompanion

__all__ = ['Companion', 'ContrastiveCompanion', 'build_companion']
