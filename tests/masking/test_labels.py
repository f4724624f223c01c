"""Labels of cells against counting."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simmim_mm.masking import labels_of_cells


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from([np.int64, np.uint8, np.int32]),
    st.data(),
)
def test_the_most_frequent_label_wins(grid_hw, cell_hw, dtype, data):
    """Of equally frequent ones the smallest; the type stays."""
    shape = (grid_hw[0] * cell_hw[0], grid_hw[1] * cell_hw[1])
    labels = data.draw(hnp.arrays(dtype, shape, elements=st.sampled_from([0, 1, 7, 100])))
    owners = labels_of_cells(labels, grid_hw)
    assert owners.dtype == labels.dtype
    for i in range(grid_hw[0]):
        for j in range(grid_hw[1]):
            rows = slice(i * cell_hw[0], (i + 1) * cell_hw[0])
            counts = Counter(labels[rows, j * cell_hw[1] : (j + 1) * cell_hw[1]].ravel().tolist())
            assert owners[i, j] == min(counts, key=lambda label: (-counts[label], label))
