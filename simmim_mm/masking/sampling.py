"""Drawing masks on a grid of cells, in NumPy."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np


def check_ratio(ratio: float, name: str = 'mask_ratio') -> float:
    """Checks a mask ratio.

    Args:
        ratio: The share of cells to hide.
        name: What the user calls it, for the message.

    Returns:
        The ratio as a float.

    Raises:
        ValueError: If it is no number in [0, 1].
    """
    if isinstance(ratio, bool) or not isinstance(ratio, Real) or not 0.0 <= ratio <= 1.0:
        raise ValueError(f'{name}={ratio!r} is not a share of the cells; use a number from 0 to 1, such as 0.6')
    return float(ratio)


def num_hidden_cells(num_cells: int, ratio: float) -> int:
    """Number of cells that a ratio hides: ``ceil(num_cells * ratio)``, as in the published code.

    The product is rounded to 9 decimals first, so that 100 cells at 0.07 are 7 and not 8 (0.07 * 100 is
    7.000000000000001 in binary floating point).
    """
    return math.ceil(round(num_cells * ratio, 9))


def random_cells(grid_hw: tuple[int, int], num_hidden: int, rng: np.random.Generator) -> np.ndarray:
    """Hides cells chosen uniformly without replacement (SimMIM, section 3.2 of arXiv 2111.09886).

    Args:
        grid_hw: (h, w) cells.
        num_hidden: Exact number of hidden cells.
        rng: Source of randomness.

    Returns:
        (h, w) bool.
    """
    h, w = grid_hw
    mask = np.zeros(h * w, dtype=bool)
    mask[rng.permutation(h * w)[:num_hidden]] = True
    return mask.reshape(h, w)


def random_masks(number: int, grid_hw: tuple[int, int], ratio: float, seed: int = 0) -> np.ndarray:
    """Masks to count or to measure with: as many random cells of each are hidden as a ratio says.

    Args:
        number: B, how many masks.
        grid_hw: (h, w) cells.
        ratio: Share of the cells that is hidden.
        seed: The same one gives the same masks.

    Returns:
        (B, h, w) bool.
    """
    rng = np.random.default_rng(seed)
    num_hidden = num_hidden_cells(grid_hw[0] * grid_hw[1], ratio)
    return np.stack([random_cells(grid_hw, num_hidden, rng) for _ in range(number)])
