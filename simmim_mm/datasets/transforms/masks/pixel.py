"""Independent pixels."""

from __future__ import annotations

from typing import Any

from simmim_mm.datasets.transforms.masks.random_patch import RandomPatchMask
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PixelMask(RandomPatchMask):
    """Hides single pixels, chosen uniformly: exactly ``ceil(pixels * ratio)`` of them.

    A :class:`RandomPatchMask` with cells of one pixel if not said otherwise. Not a coin for each pixel: the number is
    exact. Such masks are finer than the cells of an encoder's stem, so they need ``masker=dict(type='PixelMasker')``.

    Args:
        mask_patch_size: Side of a cell in pixels.
        **kwargs: ``mask_ratio`` of :class:`MaskGenerator`.
    """

    def __init__(self, mask_patch_size: int = 1, **kwargs: Any) -> None:
        super().__init__(mask_patch_size=mask_patch_size, **kwargs)
