"""One square of hidden cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SquareMask(MaskGenerator):
    """Hides one square (table 1 of arXiv 2111.09886; context encoders, arXiv 1604.07379).

    Its side is the number of cells whose square is nearest to the ratio, at most the shorter side of the grid; so the
    hidden share follows the ratio in steps.

    Args:
        position: ``'random'`` or ``'central'``.
        **kwargs: ``mask_patch_size``, ``mask_ratio`` of :class:`MaskGenerator`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, position: str = 'random', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if position not in ('random', 'central'):
            raise ValueError(f"position={position!r} of SquareMask is unknown; use 'random' or 'central'")
        self.position = position

    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        h, w = grid_hw
        side = min(round(math.sqrt(h * w * ratio)), h, w)
        if self.position == 'central':
            top, left = (h - side) // 2, (w - side) // 2
        else:
            top, left = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
        mask = np.zeros(grid_hw, dtype=bool)
        mask[top : top + side, left : left + side] = True
        return mask
