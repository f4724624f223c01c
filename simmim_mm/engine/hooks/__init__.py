"""Hooks."""

from simmim_mm.engine.hooks.reconstruction import ReconstructionHook
from simmim_mm.engine.hooks.unreadable_images import UnreadableImagesHook

__all__ = ['ReconstructionHook', 'UnreadableImagesHook']
