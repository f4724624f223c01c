"""Positions that were learned on one grid, brought to another."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

METHODS = ('geometric', 'bicubic')


def resize_bias_table(
    table: Tensor, old_hw: tuple[int, int], new_hw: tuple[int, int], method: str = 'geometric'
) -> Tensor:
    """Brings a table of relative position biases to another window.

    ``'geometric'`` is the published way (``remap_pretrained_keys_swin`` and ``..._vit`` of microsoft/SimMIM): the old
    entries are put at distances that grow geometrically from the centre, such that the outermost one reaches the new
    border, and a cubic spline is read off at whole distances. So near positions keep their biases, and far ones are
    stretched. ``'bicubic'`` stretches the table evenly, as mmdet's and mmseg's Swin do by themselves.

    Args:
        table: (L, heads), L = (2 h - 1) (2 w - 1) for a window of h x w cells, plus 3 rows at the end where there is a
            class token (BEiT's), which are kept.
        old_hw: The window that it is of, in cells.
        new_hw: The new window.
        method: One of :data:`METHODS`.

    Returns:
        (L', heads), of the table's dtype.

    Raises:
        ValueError: If the table is not of this window, the window has a side of one cell, or the method is unknown.
    """
    if method not in METHODS:
        raise ValueError(f'method={method!r} of resizing position biases is unknown; use one of {", ".join(METHODS)}')
    old, new = ((2 * h - 1, 2 * w - 1) for h, w in (old_hw, new_hw))
    rows, heads = table.shape
    extra = rows - old[0] * old[1]
    if extra not in (0, 3):
        raise ValueError(
            f'a window of {old_hw[0]}x{old_hw[1]} cells has {old[0] * old[1]} relative positions (3 more with a class '
            f'token), and the table has {rows}'
        )
    if 1 in old:
        raise ValueError(f'a window of {old_hw[0]}x{old_hw[1]} cells is too small for its biases to be resized')
    grid = table[: rows - extra].double().T.reshape(1, heads, *old)
    if method == 'bicubic':
        grid = F.interpolate(grid, size=new, mode='bicubic')
    else:
        down, along = (torch.from_numpy(_geometric_spline(*sizes)) for sizes in zip(old, new, strict=True))
        grid = down @ grid @ along.T
    return torch.cat([grid.flatten(2)[0].T.to(table.dtype), table[rows - extra :]]).contiguous()


def table_window(rows: int) -> tuple[int, int]:
    """The side of the square window of a bias table, and its rows for the class token.

    Args:
        rows: L of the table.

    Returns:
        Side of the window in cells, and 0 or 3.

    Raises:
        ValueError: If no square window has so many relative positions.
    """
    for extra in (0, 3):
        side = math.isqrt(max(rows - extra, 0))
        if side**2 == rows - extra and side % 2 == 1:
            return (side + 1) // 2, extra
    raise ValueError(f'a table of {rows} relative positions belongs to no square window, and cannot be resized')


def resize_absolute(positions: Tensor, grid_hw: tuple[int, int], old_hw: tuple[int, int], extra: int) -> Tensor:
    """Brings learned absolute positions to another grid (bicubic, as mmpretrain and the authors' code do).

    Args:
        positions: (1, extra + h w, D)
        grid_hw: The new grid.
        old_hw: The grid that they were learned on.
        extra: Tokens in front that have no place in the grid (the class token), which are kept.

    Returns:
        (1, extra + h' w', D)
    """
    grid = positions[:, extra:].double().transpose(1, 2).unflatten(-1, old_hw)
    grid = F.interpolate(grid, size=grid_hw, mode='bicubic', align_corners=False)
    return torch.cat([positions[:, :extra], grid.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)


def _geometric_spline(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that reads a spline through ``old`` geometric distances off at ``new`` whole ones."""
    reach, half = new // 2, old // 2
    low, high, ratio = 1.01, 1.5, 1.255
    while high - low > 1e-6:  # the ratio whose sum over half the table reaches the new border
        ratio = (low + high) / 2
        low, high = (low, ratio) if (1 - ratio**half) / (1 - ratio) > reach else (ratio, high)
    distances = np.cumsum(ratio ** np.arange(half))
    knots = np.concatenate([-distances[::-1], [0.0], distances])
    return _spline_matrix(knots, np.clip(np.arange(-reach, reach + 1.0), knots[0], knots[-1]))


def _spline_matrix(knots: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The interpolating cubic spline with not-a-knot ends, as the matrix from values at knots to values at points."""
    n, gaps = len(knots), np.diff(knots)
    if n == 3:  # the parabola through three points
        return np.stack([_lagrange(knots, i, points) for i in range(3)], axis=1)
    # Second derivatives `moments` follow from the values: system @ moments = right @ values.
    system, right = np.zeros((n, n)), np.zeros((n, n))
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = gaps[i - 1] / 6, (gaps[i - 1] + gaps[i]) / 3, gaps[i] / 6
        right[i, i - 1 : i + 2] = 1 / gaps[i - 1], -1 / gaps[i - 1] - 1 / gaps[i], 1 / gaps[i]
    # Not a knot: the third derivative does not jump at the second knot, nor at the last but one.
    system[0, :3] = 1 / gaps[0], -1 / gaps[0] - 1 / gaps[1], 1 / gaps[1]
    system[-1, -3:] = 1 / gaps[-2], -1 / gaps[-2] - 1 / gaps[-1], 1 / gaps[-1]
    moments = np.linalg.solve(system, right)
    left = np.clip(np.searchsorted(knots, points, side='right') - 1, 0, n - 2)
    gap = gaps[left]
    after = ((points - knots[left]) / gap)[:, None]
    before, gap, values = 1 - after, gap[:, None], np.eye(n)
    curved = (before**3 - before) * moments[left] + (after**3 - after) * moments[left + 1]
    return before * values[left] + after * values[left + 1] + gap**2 / 6 * curved


def _lagrange(knots: np.ndarray, i: int, points: np.ndarray) -> np.ndarray:
    """The polynomial that is 1 at knot ``i`` and 0 at the others."""
    others = [knot for j, knot in enumerate(knots) if j != i]
    return np.prod([(points - knot) / (knots[i] - knot) for knot in others], axis=0)
