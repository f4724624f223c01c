"""BEiT's mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.masking import num_hidden_cells
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class BlockwiseMask(MaskGenerator):
    """Hides rectangles of random area and aspect until the ratio is reached (BEiT, algorithm 1 of arXiv 2106.08254).

    Hides exactly ``ceil(cells * ratio)`` cells: where no rectangle fits into what is left, single random cells
    complete the number. (BEiT's own code then hides a few less.)

    Args:
        min_block: Smallest area of a rectangle in cells. BEiT uses 16 on a grid of 14x14.
        aspect: Smallest height/width of a rectangle; the largest is its inverse.
        **kwargs: ``mask_patch_size``, ``mask_ratio`` of :class:`MaskGenerator`.

    Raises:
        ValueError: If an argument is out of range.
    """

    MAX_ATTEMPTS = 10

    def __init__(self, min_block: int = 16, aspect: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(min_block, int) or isinstance(min_block, bool) or min_block < 1:
            raise ValueError(f'min_block={min_block!r} of BlockwiseMask must be a whole number of cells from 1')
        if not isinstance(aspect, int | float) or isinstance(aspect, bool) or not 0 < aspect <= 1:
            raise ValueError(f'aspect={aspect!r} of BlockwiseMask must be above 0 and at most 1; BEiT uses 0.3')
        self.min_block = min_block
        self.aspect = aspect

    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        mask = np.zeros(grid_hw, dtype=bool)
        wanted = num_hidden_cells(mask.size, ratio)
        while (left := wanted - int(mask.sum())) > 0:
            if not self._add_block(mask, left, rng):
                visible = np.flatnonzero(~mask)
                mask.flat[rng.permutation(visible)[:left]] = True
        return mask

    def _add_block(self, mask: np.ndarray, left: int, rng: np.random.Generator) -> bool:
        """Hides one rectangle that adds between 1 and ``left`` cells; whether one was found."""
        h, w = mask.shape
        limit = abs(math.log(self.aspect))  # not -log(1), which is -0.0 and no upper bound for NumPy
        for _ in range(self.MAX_ATTEMPTS):
            area = rng.uniform(min(self.min_block, left), left)
            ratio = math.exp(rng.uniform(-limit, limit))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if not (0 < height <= h and 0 < width <= w):
                continue
            top, start = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
            block = mask[top : top + height, start : start + width]
            if 0 < (~block).sum() <= left:
                block[:] = True
                return True
        return False
