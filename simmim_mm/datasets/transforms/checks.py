"""What can be known of a pipeline before the first image is read."""

from __future__ import annotations

from collections.abc import Iterable

from simmim_mm.datasets.transforms.geometry import CenterCrop, RandomResizedCrop
from simmim_mm.datasets.transforms.masks import MaskGenerator


def check_pipeline(transforms: Iterable) -> None:
    """Checks that the cells of each mask generator fit the crop before it.

    Args:
        transforms: Built transforms, in order.

    Raises:
        ValueError: If the cells do not divide the crop.
    """
    sizes: list[tuple[int, int]] = []
    for transform in transforms:
        if isinstance(transform, RandomResizedCrop | CenterCrop):
            sizes = [transform.size, *(getattr(transform, 'sizes', None) or [])]
        elif isinstance(transform, MaskGenerator):
            for image_hw in sizes:
                transform.grid_of(image_hw)
