"""Strokes and blobs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.masking import num_hidden_cells
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class IrregularMask(MaskGenerator):
    """Hides brush strokes and blobs, as inpainting does (free-form masks, section 3.4 of arXiv 1806.03589).

    Each shape begins at a random visible cell. A stroke is a line of :attr:`NUM_POINTS` points that turns a little at
    each; a blob is a closed curve around the cell whose radius waves. Exactly ``ceil(cells * ratio)`` cells are hidden:
    of the last shape those that lie nearest to its beginning. After :attr:`MAX_SHAPES` shapes, which high ratios reach,
    what is hidden grows at its edges instead.

    Cells of 4 px are as fine as the tokens of Swin and ConvNeXt; finer ones need ``masker=dict(type='PixelMasker')``.

    Args:
        stroke_share: Share of the shapes that are strokes, 0 (blobs alone) to 1 (strokes alone).
        stroke_width: Smallest and largest width of a brush, as shares of the grid's shorter side.
        blob_radius: Smallest and largest mean radius of a blob, likewise.
        mask_patch_size: Side of a cell in pixels.
        **kwargs: ``mask_ratio`` of :class:`MaskGenerator`.

    Raises:
        ValueError: If an argument is out of range.
    """

    NUM_POINTS = 6
    MAX_SHAPES = 64

    def __init__(
        self,
        stroke_share: float = 0.5,
        stroke_width: Sequence[float] = (0.04, 0.12),
        blob_radius: Sequence[float] = (0.06, 0.2),
        mask_patch_size: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(mask_patch_size=mask_patch_size, **kwargs)
        if isinstance(stroke_share, bool) or not isinstance(stroke_share, int | float) or not 0 <= stroke_share <= 1:
            raise ValueError(f'stroke_share={stroke_share!r} of IrregularMask must be a number from 0 to 1')
        self.stroke_share = float(stroke_share)
        self.stroke_width = _check_shares(stroke_width, 'stroke_width')
        self.blob_radius = _check_shares(blob_radius, 'blob_radius')

    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        mask = np.zeros(grid_hw, dtype=bool)
        wanted = num_hidden_cells(mask.size, ratio)
        if wanted == mask.size:
            return ~mask
        canvas = Image.new('L', (grid_hw[1], grid_hw[0]))
        draw = ImageDraw.Draw(canvas)
        for _ in range(self.MAX_SHAPES):
            left = wanted - int(np.count_nonzero(mask))
            if left == 0:
                return mask
            start = self._visible_cell(mask, rng)
            self._add_shape(draw, start, grid_hw, rng)
            drawn: np.ndarray = np.asarray(canvas) > 0
            added = np.flatnonzero(drawn & ~mask)
            if len(added) >= left:
                rows, columns = np.divmod(added, grid_hw[1])
                distance = (rows - start[0]) ** 2 + (columns - start[1]) ** 2
                mask.flat[added[np.argsort(distance, kind='stable')[:left]]] = True
                return mask
            mask = drawn
        visible = rng.permutation(np.flatnonzero(~mask))
        distance = distance_transform_edt(~mask).flat[visible]
        mask.flat[visible[np.argsort(distance, kind='stable')[: wanted - int(np.count_nonzero(mask))]]] = True
        return mask

    @staticmethod
    def _visible_cell(mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        visible = np.flatnonzero(~mask)
        row, column = divmod(int(visible[rng.integers(len(visible))]), mask.shape[1])
        return row, column

    def _add_shape(
        self, draw: ImageDraw.ImageDraw, start: tuple[int, int], grid_hw: tuple[int, int], rng: np.random.Generator
    ) -> None:
        side = min(grid_hw)
        row, column = start
        draw.point((column, row), fill=1)  # however thin the shape, it adds a cell
        if rng.random() < self.stroke_share:
            width = max(1, round(side * rng.uniform(*self.stroke_width)))
            angles = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.7, self.NUM_POINTS - 1))
            lengths = side * rng.uniform(0.08, 0.25, self.NUM_POINTS - 1)
            xs = column + np.concatenate([[0], np.cumsum(lengths * np.cos(angles))])
            ys = row + np.concatenate([[0], np.cumsum(lengths * np.sin(angles))])
            points = list(zip(xs.tolist(), ys.tolist(), strict=True))
            draw.line(points, fill=1, width=width, joint='curve')
            if width > 2:  # round ends
                for x, y in (points[0], points[-1]):
                    draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=1)
            return
        around = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        waves = sum(
            rng.uniform(0, 0.35) / number * np.cos(number * around + rng.uniform(0, 2 * math.pi))
            for number in (1, 2, 3, 4)
        )
        radius = side * rng.uniform(*self.blob_radius) * (1 + waves)
        stretch = math.exp(rng.uniform(-0.4, 0.4))
        xs, ys = column + radius * np.cos(around) * stretch, row + radius * np.sin(around) / stretch
        draw.polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=1)


def _check_shares(values: Sequence[float], name: str) -> tuple[float, float]:
    if (
        not isinstance(values, Sequence)
        or isinstance(values, str)
        or len(values) != 2
        or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        or not 0 < values[0] <= values[1] <= 1
    ):
        raise ValueError(
            f'{name}={values!r} of IrregularMask is no range; use (smallest, largest), above 0 and at most 1'
        )
    return float(values[0]), float(values[1])
