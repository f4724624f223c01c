"""What all mask generators share: size, ratio, randomness."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from simmim_mm.datasets.randomness import rng_of
from simmim_mm.datasets.transforms.masks.ratio_schedules import RatioSchedule
from simmim_mm.masking import check_ratio
from simmim_mm.registry import TASK_UTILS

# The masks that travel to the model: that of the image, and that of its second view.
MASK_KEYS = ('mask', 'other_mask')


class MaskGenerator(BaseTransform):
    """Draws a mask on a grid of square cells over ``results['img']``.

    A subclass says in :meth:`_draw` which cells are hidden. The mask has one entry a cell; it is brought to the
    resolution of the backbone's tokens and of the pixels where it is used, so it needs to know nothing of the model.

    Adds ``mask`` (or ``other_mask``, see ``key``): (H / mask_patch_size, W / mask_patch_size) bool, True means hidden.

    Args:
        mask_patch_size: Side of a cell in pixels; must divide both sides of the image.
        mask_ratio: Share of the cells to hide, 0 to 1; or the config of a schedule, for a share that changes in the
            course of training: ``dict(type='LinearRatio', start=0.3, end=0.75)``.
        key: ``'mask'``; or ``'other_mask'`` for a second generator in the pipeline, which draws the mask of the second
            view for a ``ContrastiveCompanion``.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, mask_patch_size: int = 32, mask_ratio: float | dict[str, Any] = 0.6, key: str = 'mask') -> None:
        if not isinstance(mask_patch_size, int) or isinstance(mask_patch_size, bool) or mask_patch_size < 1:
            raise ValueError(f'mask_patch_size={mask_patch_size!r} is no side of a cell in pixels; use 32, for example')
        if key not in MASK_KEYS:
            raise ValueError(f"key={key!r} of {type(self).__name__} is unknown; use 'mask' or 'other_mask'")
        self.mask_patch_size = mask_patch_size
        self.key = key
        self.mask_ratio: float | RatioSchedule
        if isinstance(mask_ratio, Mapping):
            try:
                self.mask_ratio = TASK_UTILS.build(mask_ratio)
            except (TypeError, KeyError) as error:
                raise ValueError(
                    f'mask_ratio={mask_ratio!r} is no schedule that can be built ({error}); use '
                    "dict(type='LinearRatio', start=0.3, end=0.75), for example"
                ) from error
            if not isinstance(self.mask_ratio, RatioSchedule):
                raise ValueError(f"mask_ratio={mask_ratio!r} is no schedule; use dict(type='LinearRatio', ...)")
        else:
            self.mask_ratio = check_ratio(mask_ratio)

    @property
    def needs_map(self) -> str | None:
        """Name of the map that the mask follows; None for none."""
        return None

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

    def ratio_of(self, results: dict) -> float:
        """The share of the cells to hide in a sample.

        Args:
            results: The sample, with its ``progress`` (see
                :func:`~simmim_mm.datasets.randomness.sample_facts`) where the ratio follows a schedule.

        Raises:
            ValueError: If it follows a schedule and the sample does not know how far the run is.
        """
        if not isinstance(self.mask_ratio, RatioSchedule):
            return self.mask_ratio
        if 'progress' not in results:
            raise ValueError(
                f'mask_ratio={self.mask_ratio!r} follows the progress of training, which this sample does not know: in '
                "training, use sampler=dict(type='SeededSampler') and add dict(type='SampleProgressHook') to "
                'custom_hooks; in validation, give a number, so that its results can be compared'
            )
        return self.mask_ratio.ratio(results['progress'])

    def transform(self, results: dict) -> dict:
        """Draws the mask of one sample."""
        grid_hw = self.grid_of(results['img'].shape[:2])
        results[self.key] = self._draw(grid_hw, self.ratio_of(results), rng_of(results), results)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(mask_patch_size={self.mask_patch_size}, mask_ratio={self.mask_ratio}, '
            f'key={self.key!r})'
        )
