"""AvgDist against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simmim_mm.masking import mean_distance_to_visible


def brute_force(mask: np.ndarray, cell: int) -> float:
    pixels = np.kron(mask, np.ones((cell, cell), dtype=bool))
    visible = np.argwhere(~pixels)
    return float(np.mean([min(math.dist(place, other) for other in visible) for place in np.argwhere(pixels)]))


@given(hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 5))), st.integers(1, 3))
def test_the_mean_is_that_of_all_pairs(mask, cell):
    """Each hidden pixel looks at every visible one."""
    expected = 0.0 if not mask.any() else math.inf if mask.all() else brute_force(mask, cell)
    assert mean_distance_to_visible(mask, cell) == pytest.approx(expected, rel=1e-12)


def test_worked_by_hand():
    """In a row, three hidden pixels before a visible one: (3 + 2 + 1) / 3. A hidden half of 2 cells of 4 px: 2.5."""
    assert mean_distance_to_visible(np.array([[True, True, True, False]])) == 2
    assert mean_distance_to_visible(np.array([[True, False]]), cell=4) == 2.5


@pytest.mark.parametrize('mask', [np.ones((2, 2)), np.ones(4, dtype=bool), np.ones((1, 2, 2), dtype=bool), [[1, 0]]])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ValueError, match=r'not \(h, w\) bool'):
        mean_distance_to_visible(mask)


@pytest.mark.parametrize('cell', [0, -1, 1.5, '4', True, None])
def test_what_is_no_cell_is_refused(cell):
    with pytest.raises(ValueError, match='cell='):
        mean_distance_to_visible(np.eye(2, dtype=bool), cell)
