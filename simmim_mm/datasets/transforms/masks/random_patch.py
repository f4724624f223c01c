"""SimMIM's mask."""

from __future__ import annotations

import numpy as np

from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.masking import num_hidden_cells, random_cells
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomPatchMask(MaskGenerator):
    """Hides ``ceil(cells * ratio)`` cells, chosen uniformly (SimMIM, section 3.2 of arXiv 2111.09886).

    At 192 px with 32 px cells and a ratio of 0.6: 22 of 36 cells.
    """

    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        return random_cells(grid_hw, num_hidden_cells(grid_hw[0] * grid_hw[1], ratio), rng)
