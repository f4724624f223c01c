"""Masks of whole objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simmim_mm.datasets.transforms.maps import map_of
from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.masking import labels_of_cells, num_hidden_cells
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SemanticMask(MaskGenerator):
    """Hides whole objects of a label map: random ones, one after the other, until the ratio is reached.

    The map, which ``LoadMap`` reads, holds a number a pixel: an instance, a class or a superpixel. A cell belongs to
    the number that most of its pixels have. Exactly ``ceil(cells * ratio)`` cells are hidden: the object that would
    hide too many is hidden in part, its cells that lie nearest to a random one of them; and where all objects together
    are not enough, random cells of the background complete the number.

    Args:
        labels: Name of the map.
        background: The number, or numbers, that are no objects; None if all are. 0 in most instance files.
        **kwargs: ``mask_patch_size``, ``mask_ratio`` of :class:`MaskGenerator`.

    Raises:
        ValueError: If an argument is out of range; later, if the map is missing or holds fractions.
    """

    def __init__(self, labels: str = 'labels', background: int | Sequence[int] | None = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(labels, str) or not labels:
            raise ValueError(f"labels={labels!r} of SemanticMask must be the name of a map, such as 'labels'")
        values = () if background is None else (background,) if isinstance(background, int) else background
        if (
            not isinstance(values, Sequence)
            or isinstance(values, str)
            or not all(isinstance(value, int) and not isinstance(value, bool) for value in values)
        ):
            raise ValueError(
                f'background={background!r} of SemanticMask must be a whole number, a list of them, or None'
            )
        self.labels = labels
        self.background = tuple(values)

    @property
    def needs_map(self) -> str:
        """Name of the label map."""
        return self.labels

    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        values = map_of(results, self.labels, needed_by='SemanticMask')
        if not (np.issubdtype(values.dtype, np.integer) or values.dtype == bool):
            raise ValueError(
                f'the map {self.labels!r} of SemanticMask has the type {values.dtype}; labels are whole numbers: load '
                "it with kind='labels'"
            )
        owners = labels_of_cells(values, grid_hw)
        mask = np.zeros(grid_hw, dtype=bool)
        left = num_hidden_cells(mask.size, ratio)
        objects = np.setdiff1d(owners, self.background)
        for number in rng.permutation(objects):
            cells = np.flatnonzero(owners == number)
            if len(cells) > left:
                cells = self._nearest(cells, left, grid_hw[1], rng)
            mask.flat[cells] = True
            left -= len(cells)
            if left == 0:
                return mask
        mask.flat[rng.permutation(np.flatnonzero(~mask))[:left]] = True
        return mask

    @staticmethod
    def _nearest(cells: np.ndarray, num: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """The cells that lie nearest to a random one of them."""
        rows, columns = np.divmod(cells, width)
        start = rng.integers(len(cells))
        distance = (rows - rows[start]) ** 2 + (columns - columns[start]) ** 2
        return cells[np.argsort(distance, kind='stable')[:num]]

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, labels={self.labels!r}, background={self.background})'
