"""Label maps on a grid of cells."""

from __future__ import annotations

import numpy as np


def labels_of_cells(labels: np.ndarray, grid_hw: tuple[int, int]) -> np.ndarray:
    """The label that most pixels of each cell have; of equally frequent ones the smallest.

    Args:
        labels: (H, W) integers, sides that are multiples of the grid's.
        grid_hw: (h, w)

    Returns:
        (h, w), same type.
    """
    (height, width), (h, w) = labels.shape, grid_hw
    if (height, width) == (h, w):
        return labels
    found, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(h, height // h, w, width // w).swapaxes(1, 2).reshape(h * w, -1)
    pairs, counts = np.unique(np.arange(h * w)[:, None] * len(found) + numbers, return_counts=True)
    cells, numbers = np.divmod(pairs, len(found))
    # The last assignment to a cell stays: that of the highest count, and among these of the smallest label.
    order = np.lexsort((-numbers, counts))
    owners = np.empty(h * w, dtype=numbers.dtype)
    owners[cells[order]] = numbers[order]
    return found[owners].reshape(h, w)
