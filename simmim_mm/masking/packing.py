"""Grouping of windows that hold different numbers of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# Capacities of a group that are tried, relative to the fullest window.
CAPACITIES = (1.0, 4 / 3, 5 / 3, 2.0)


class Groups(NamedTuple):
    """Tokens in groups of one size, with no window in two groups.

    Attributes:
        slots: (G, g) int64, which token stands in each place of a group; -1 for none.
        windows: (G, g) int64, the number of its window; -1 for none.
    """

    slots: np.ndarray
    windows: np.ndarray


def group_tokens(windows: np.ndarray) -> Groups:
    """Packs the tokens of windows into groups, so that attention within groups costs as little as possible.

    Attention inside a group of g places costs g squared, so windows are packed into groups of several capacities, each
    as full as possible, and the cheapest is taken (the idea of section 3.2 of arXiv 2205.13515).

    Args:
        windows: (T,) whole numbers, the window that each token is in.

    Returns:
        The groups.
    """
    _, numbers, sizes = np.unique(windows, return_inverse=True, return_counts=True)
    histogram = {int(size): int(num) for size, num in zip(*np.unique(sizes, return_counts=True), strict=True)}
    largest = max(histogram)
    plans = {
        capacity: pack(histogram, capacity) for capacity in sorted({int(largest * factor) for factor in CAPACITIES})
    }
    capacity = min(plans, key=lambda each: each**2 * sum(copies for _, copies in plans[each]))
    group_of_window = _deal(sizes, plans[capacity])
    groups = group_of_window[numbers]
    order = np.lexsort((numbers, groups))
    sorted_groups = groups[order]
    first = np.searchsorted(sorted_groups, np.arange(sorted_groups[-1] + 1))
    places = np.arange(len(order)) - first[sorted_groups]
    slots, inside = (np.full((sorted_groups[-1] + 1, capacity), -1, dtype=np.int64) for _ in range(2))
    slots[sorted_groups, places] = order
    inside[sorted_groups, places] = numbers[order]
    return Groups(slots, inside)


def pack(histogram: Mapping[int, int], capacity: int) -> list[tuple[dict[int, int], int]]:
    """Packs items into bins, the fullest bin that can be made first.

    Args:
        histogram: How many items there are of each size.
        capacity: Of a bin, at least the largest size.

    Returns:
        Kinds of bins and how often each is used. A kind is how many items of each size it holds.
    """
    left = dict(histogram)
    bins = []
    while left:
        kind = fullest(left, capacity)
        copies = min(left[size] // num for size, num in kind.items())
        bins.append((kind, copies))
        for size, num in kind.items():
            left[size] -= copies * num
            if not left[size]:
                del left[size]
    return bins


def fullest(available: Mapping[int, int], capacity: int) -> dict[int, int]:
    """The items that fill one bin best: a knapsack, by dynamic programming over totals.

    Args:
        available: How many items there are of each size.
        capacity: Of the bin.

    Returns:
        How many items of each size to take. Among equally full choices, large items are preferred.
    """
    # Bit t of `reached[i]`: whether the first i parts can make the total t. Parts are 1, 2, 4, ... items of a size.
    parts: list[tuple[int, int]] = []
    reached = [1]
    within = (1 << (capacity + 1)) - 1
    for size in sorted(available, reverse=True):
        left, num = min(available[size], capacity // size), 1
        while left:
            num = min(num, left)
            parts.append((size, num))
            reached.append((reached[-1] | reached[-1] << (size * num)) & within)
            left -= num
            num *= 2
    total = reached[-1].bit_length() - 1
    chosen: Counter[int] = Counter()
    for (size, num), before in zip(reversed(parts), reversed(reached[:-1]), strict=True):
        if not before >> total & 1:
            chosen[size] += num
            total -= size * num
    return dict(chosen)


def _deal(sizes: np.ndarray, bins: list[tuple[dict[int, int], int]]) -> np.ndarray:
    """The bin of each item: (M,) sizes to (M,) numbers of bins."""
    items = {int(size): np.flatnonzero(sizes == size) for size in np.unique(sizes)}
    used: Counter[int] = Counter()
    dealt = np.empty(len(sizes), dtype=np.int64)
    num_bins = 0
    for kind, copies in bins:
        for size, num in kind.items():
            dealt[items[size][used[size] : used[size] + copies * num]] = num_bins + np.repeat(np.arange(copies), num)
            used[size] += copies * num
        num_bins += copies
    return dealt
