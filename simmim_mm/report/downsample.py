"""Curves of any length in as many points as a picture can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Values of such a size are as good as infinite, and overflow in what is computed of them.
BEYOND = 1e300


class Shown(NamedTuple):
    """What is left of a curve.

    Attributes:
        parts: Stretches of (iterations, values), all finite; between two of them there was something else.
        not_finite: Iterations of values that are not, the first of each column.
        num_not_finite: Number of all of them.
    """

    parts: list[tuple[np.ndarray, np.ndarray]]
    not_finite: np.ndarray
    num_not_finite: int


def downsample(steps: Sequence[int], values: Sequence[float], columns: int, span: tuple[int, int]) -> Shown:
    """Keeps the lowest and the highest value of each column of pixels, and the first and the last of all.

    So a spike of a single iteration is seen in a run of a million.

    Args:
        steps: (N,) iterations, ascending.
        values: (N,).
        columns: Number of columns.
        span: Iterations of the left and the right edge.

    Returns:
        At most ``2 * columns + 2`` points.
    """
    x, y = np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64)
    column = np.minimum((x - span[0]) * columns // max(1, span[1] - span[0]), columns - 1)
    with np.errstate(invalid='ignore'):
        finite = np.abs(y) < BEYOND
    bad = x[~finite]
    marked = bad[np.unique(column[~finite], return_index=True)[1]]
    x, y, column = x[finite], y[finite], column[finite]
    if len(x) > 2 * columns:
        edges = np.flatnonzero(np.diff(column, prepend=-1))
        kept = {0, len(x) - 1}
        for begin, end in zip(edges, [*edges[1:], len(x)], strict=True):
            kept |= {begin + int(y[begin:end].argmin()), begin + int(y[begin:end].argmax())}
        index = np.array(sorted(kept))
        x, y = x[index], y[index]
    # A line is broken where something that is not finite lies between two of its points.
    breaks = np.searchsorted(bad, x[:-1]) < np.searchsorted(bad, x[1:])
    cuts = np.flatnonzero(breaks) + 1
    parts = zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    return Shown([part for part in parts if len(part[0])], marked, len(bad))
