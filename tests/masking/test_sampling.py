"""Drawing cells."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmim_mm.masking import check_ratio, num_hidden_cells, random_cells


@given(st.integers(1, 3000), st.integers(0, 100))
def test_number_of_hidden_cells_is_exact(num_cells, percent):
    """`ceil(cells * ratio)` for every ratio in whole percent, in exact arithmetic."""
    assert num_hidden_cells(num_cells, percent / 100) == math.ceil(Fraction(num_cells * percent, 100))


@given(st.integers(1, 3000), st.floats(0, 1))
def test_number_of_hidden_cells_is_a_number_of_cells(num_cells, ratio):
    """From 0 to all, and never less than the share asked for (but for 1e-9 of a cell)."""
    num = num_hidden_cells(num_cells, ratio)
    assert 0 <= num <= num_cells
    assert num_cells * ratio - 1e-9 <= num < num_cells * ratio + 1


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.data())
def test_random_cells_hide_the_number_asked_for(grid_hw, data):
    """Exactly as many, as bool, on the grid asked for."""
    num = data.draw(st.integers(0, grid_hw[0] * grid_hw[1]))
    mask = random_cells(grid_hw, num, np.random.default_rng(0))
    assert (mask.shape, mask.dtype, mask.sum()) == (grid_hw, np.bool_, num)


def test_every_set_of_cells_is_equally_likely():
    """Of the 6 ways to hide 2 of 4 cells, each comes up in a sixth of 6000 draws (standard deviation: 29)."""
    rng = np.random.default_rng(0)
    counts: dict[bytes, int] = {}
    for _ in range(6000):
        mask = random_cells((2, 2), 2, rng).tobytes()
        counts[mask] = counts.get(mask, 0) + 1
    assert len(counts) == 6
    assert all(abs(count - 1000) < 120 for count in counts.values())


@pytest.mark.parametrize('ratio', [0, 1, 0.6, np.float32(0.5), Fraction(1, 3)])
def test_real_numbers_from_0_to_1_are_ratios(ratio):
    """Returned as a Python float."""
    checked = check_ratio(ratio)
    assert type(checked) is float
    assert checked == pytest.approx(float(ratio))


@pytest.mark.parametrize('ratio', [-1e-9, 1.0000001, math.nan, '0.5', None, False, 0.5j, [0.5]])
def test_everything_else_is_refused_by_the_users_name(ratio):
    """The message holds the name and the value."""
    with pytest.raises(ValueError, match='from 0 to 1') as error:
        check_ratio(ratio, 'schedule.start')
    assert f'schedule.start={ratio!r}' in str(error.value)
