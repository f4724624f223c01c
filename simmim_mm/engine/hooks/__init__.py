"""Hooks."""

from simmim_mm.engine.hooks.reconstruction import ReconstructionHook
from simmim_mm.engine.hooks.sample_progress import SampleProgressHook
from simmim_mm.engine.hooks.unreadable_images import UnreadableImagesHook

__all__ = ['ReconstructionHook', 'SampleProgressHook', 'UnreadableImagesHook']
