"""Masks that follow the content of an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simmim_mm.datasets.transforms.maps import map_of, resize_map
from simmim_mm.datasets.transforms.masks.base import MaskGenerator
from simmim_mm.masking import cell_means, cells_by_score, num_hidden_cells, spectral_residual, standardise
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SaliencyMask(MaskGenerator):
    """Hides cells by a score of their content: hard regions or easy ones.

    The score of a cell is the mean of a score map over its pixels, standardised over the cells of the image. Exactly
    ``ceil(cells * ratio)`` cells are hidden, drawn with probabilities proportional to ``exp(score / temperature)``
    without replacement (:func:`~simmim_mm.masking.cells_by_score`).

    Args:
        score: Where the score map comes from. ``'spectral_residual'``: of the image itself, which stands out where it
            differs from the rest (:func:`~simmim_mm.masking.spectral_residual`). Any other text: the name of a map
            that ``LoadMap`` read. Or a function of the image, (H, W, C) to (H, W) numbers.
        prefer: ``'hard'`` hides high scores first, ``'easy'`` low ones.
        temperature: 0 takes the cells with the highest (or lowest) scores and nothing else; the higher, the more
            random. With infinity, scores do not count.
        **kwargs: ``mask_patch_size``, ``mask_ratio`` of :class:`MaskGenerator`.

    Raises:
        ValueError: If an argument is out of range; later, if the map is missing, or is no map of finite numbers.
    """

    LONGEST_SIDE = 64  # of the image that the spectral residual is taken of, as in its paper

    def __init__(
        self,
        score: str | Callable[[np.ndarray], np.ndarray] = 'spectral_residual',
        prefer: str = 'hard',
        temperature: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not score or not (isinstance(score, str) or callable(score)):
            raise ValueError(
                f"score={score!r} of SaliencyMask must be 'spectral_residual', the name of a map or a function"
            )
        if prefer not in ('hard', 'easy'):
            raise ValueError(f"prefer={prefer!r} of SaliencyMask is unknown; use 'hard' or 'easy'")
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not temperature >= 0:
            raise ValueError(f'temperature={temperature!r} of SaliencyMask must be a number from 0')
        self.score = score
        self.prefer = prefer
        self.temperature = float(temperature)

    @property
    def needs_map(self) -> str | None:
        """Name of the score map; None where scores are of the image itself."""
        return self.score if isinstance(self.score, str) and self.score != 'spectral_residual' else None

    def _draw(self, grid_hw: tuple[int, int], ratio: float, rng: np.random.Generator, results: dict) -> np.ndarray:
        scores = standardise(cell_means(self.score_map(results), grid_hw))
        if self.prefer == 'easy':
            scores = -scores
        return cells_by_score(scores, num_hidden_cells(scores.size, ratio), self.temperature, rng)

    def score_map(self, results: dict) -> np.ndarray:
        """The score of each pixel.

        Args:
            results: The sample.

        Returns:
            (H, W)

        Raises:
            ValueError: If the map is missing, has another shape than the image, or values that are not finite.
        """
        image = results['img']
        if self.score == 'spectral_residual':
            scores = _residual_of(image, self.LONGEST_SIDE)
        elif isinstance(self.score, str):
            scores = map_of(results, self.score, needed_by='SaliencyMask')
        else:
            scores = np.asarray(self.score(image))
            if scores.shape != image.shape[:2]:
                raise ValueError(
                    f'score={self.score!r} of SaliencyMask returned the shape {scores.shape} for an image of '
                    f'{image.shape}; it must return one number a pixel, {image.shape[:2]}'
                )
        if not (np.issubdtype(scores.dtype, np.number) or scores.dtype == bool) or not np.isfinite(scores).all():
            raise ValueError(f'score={self.score!r} of SaliencyMask is not finite everywhere; give finite numbers')
        return scores

    def __repr__(self) -> str:
        return (
            f'{super().__repr__()[:-1]}, score={self.score!r}, prefer={self.prefer!r}, temperature={self.temperature})'
        )


def _residual_of(image: np.ndarray, longest_side: int) -> np.ndarray:
    height, width = image.shape[:2]
    grey = image.mean(axis=-1, dtype=np.float32)
    scale = min(1.0, longest_side / max(height, width))
    small = resize_map(grey, (max(1, round(height * scale)), max(1, round(width * scale))))
    return resize_map(spectral_residual(small).astype(np.float32), (height, width))
