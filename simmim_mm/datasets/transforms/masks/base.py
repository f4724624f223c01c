"""What all mask generators share: size, ratio, randomness."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from mmcv.transforms import BaseTransform

from simmim_mm.datasets.randomness import rng_of
from simmim_mm.masking import check_ratio


class MaskGenerator(BaseTransform):
    """Draws a mask on a grid of square cells over ``results['img']``.

    A subclass says in :meth:`_draw` which cells are hidden. The mask has one entry a cell; it is brought to the
    resolution of the backbone's tokens and of the pixels where it is used, so it needs to know nothing of the model.

    Adds ``mask``: (H / mask_patch_size, W / mask_patch_size) bool, True means hidden.

    Args:
        mask_patch_size: Side of a cell in pixels; must divide both sides of the image.
        mask_ratio: Share of the cells to hide, 0 to 1.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, mask_patch_size: int = 32, mask_ratio: float = 0.6) -> None:
        if not isinstance(mask_patch_size, int) or isinstance(mask_patch_size, bool) or mask_patch_size < 1:
            raise ValueError(f'mask_patch_size={mask_patch_size!r} is no side of a cell in pixels; use 32, for example')
        self.mask_patch_size = mask_patch_size
        self.mask_ratio = check_ratio(mask_ratio)

    @abstractmethod
    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        """Draws one mask.

        Args:
            grid_hw: (h, w) cells.
            ratio: Share of the cells to hide.
            rng: Source of all randomness.
            results: The sample, for masks that follow its content.

        Returns:
            (h, w) bool, True means hidden.
        """

    def grid_of(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """The grid of an image.

        Args:
            image_hw: (H, W) in pixels.

        Returns:
            (h, w) in cells.

        Raises:
            ValueError: If the cells do not fit, with the sides that would.
        """
        height, width = image_hw
        size = self.mask_patch_size
        if height % size or width % size:
            fitting = [side for side in range(4, min(height, width) + 1) if height % side == width % side == 0]
            advice = f'use one of {", ".join(map(str, fitting))}' if fitting else 'change the size of the crop'
            image = f'the image side {height}' if height == width else f'both sides of the {height}x{width} image'
            raise ValueError(f'mask_patch_size={size} does not divide {image}; {advice}')
        return height // size, width // size

    def transform(self, results: dict) -> dict:
        """Draws the mask of one sample."""
        grid_hw = self.grid_of(results['img'].shape[:2])
        results['mask'] = self._draw(grid_hw, self.mask_ratio, rng_of(results), results)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(mask_patch_size={self.mask_patch_size}, mask_ratio={self.mask_ratio})'
