"""Hidden rectangles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RectangleMask(MaskGenerator):
    """Hides one rectangle of random aspect and place, or several of random areas too.

    One rectangle: height/width is drawn log-uniformly, within what the grid allows; the width is then the number of
    cells that brings the area nearest to the ratio. So the hidden share follows the ratio in steps of one column: it is
    off by half the height of the rectangle at most. Ratios of 0 and 1 are exact.

    Several: the area is shared out at random. Of :attr:`NUM_PLACES` random places, each rectangle takes the one with
    the least overlap. Where they overlap all the same, less is hidden.

    Args:
        num: Number of rectangles.
        aspect: Smallest height/width; the largest is its inverse. A grid can be too small for it: then the rectangle
            is as near to it as the grid allows.
        **kwargs: ``mask_patch_size``, ``mask_ratio`` of :class:`MaskGenerator`.

    Raises:
        ValueError: If an argument is out of range.
    """

    NUM_PLACES = 10

    def __init__(self, num: int = 1, aspect: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(num, int) or isinstance(num, bool) or num < 1:
            raise ValueError(f'num={num!r} of RectangleMask must be a whole number of rectangles from 1')
        if isinstance(aspect, bool) or not isinstance(aspect, int | float) or not 0 < aspect <= 1:
            raise ValueError(f'aspect={aspect!r} of RectangleMask must be above 0 and at most 1, such as 0.3')
        self.num = num
        self.aspect = float(aspect)

    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        mask = np.zeros(grid_hw, dtype=bool)
        shares = rng.dirichlet(np.ones(self.num)) if self.num > 1 else np.ones(1)
        for area in mask.size * ratio * shares:
            if area > 0:
                height, width = self._draw_size(area, grid_hw, rng)
                self._place(mask, height, width, rng)
        return mask

    def _draw_size(self, area: float, grid_hw: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        h, w = grid_hw
        limit = abs(math.log(self.aspect))  # not -log(1), which is -0.0 and no upper bound for NumPy
        ratio = math.exp(rng.uniform(-limit, limit))
        # No lower than an area of the grid's full width, rounded against 1e-9 of binary fractions.
        lowest = max(1, math.ceil(round(area / w, 9)))
        height = min(max(round(math.sqrt(area * ratio)), lowest), h)
        return height, min(round(area / height), w)

    def _place(self, mask: np.ndarray, height: int, width: int, rng: np.random.Generator) -> None:
        h, w = mask.shape
        best, least = None, math.inf
        for _ in range(self.NUM_PLACES if mask.any() else 1):
            top, left = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
            block = mask[top : top + height, left : left + width]
            overlap = int(block.sum())
            if overlap < least:
                best, least = block, overlap
        assert best is not None
        best[:] = True
