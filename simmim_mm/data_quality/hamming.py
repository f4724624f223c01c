"""All pairs of 64-bit hashes that differ in few bits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

BITS = 64
# Comparisons at once, of 8 bytes each.
BLOCK = 2**22


def near_pairs(hashes: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Finds all pairs within a Hamming distance, without comparing all with all.

    The bits are cut into ``distance + 1`` parts. Two hashes that differ in no more than ``distance`` bits agree in at
    least one part, so only hashes that share a part are compared (multi-index hashing: Norouzi, Punjani and Fleet,
    CVPR 2012, https://arxiv.org/abs/1307.2982).

    Args:
        hashes: (N,) uint64.
        distance: Most bits in which a pair may differ, 0 to 63.

    Yields:
        (n, 2) int64, positions of pairs, the smaller one first; each pair comes once, in no particular order.
    """
    edges = np.linspace(0, BITS, distance + 2).astype(int)
    parts = [_part(hashes, low, high) for low, high in pairwise(edges)]
    for number, part in enumerate(parts):
        order = np.argsort(part, kind='stable')
        borders = np.flatnonzero(np.diff(part[order])) + 1
        starts = np.concatenate([[0], borders, [len(order)]])
        for pairs in _pairs_in_buckets(hashes[order], starts, distance):
            found = np.sort(order[pairs], axis=1)
            # A pair that shares an earlier part too was found there.
            seen = np.zeros(len(found), dtype=bool)
            for earlier in parts[:number]:
                seen |= earlier[found[:, 0]] == earlier[found[:, 1]]
            if not seen.all():
                yield found[~seen]


def _part(hashes: np.ndarray, low: int, high: int) -> np.ndarray:
    return (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)


def _pairs_in_buckets(hashes: np.ndarray, starts: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Compares hashes within buckets, ``hashes[starts[i]:starts[i + 1]]``, each with those behind it."""
    # How many hashes stand behind each one in its bucket: row r is compared with r + 1, ..., r + behind[r].
    sizes = np.diff(starts)
    behind = np.repeat(starts[1:], sizes) - np.arange(len(hashes)) - 1
    totals = np.concatenate([[0], np.cumsum(behind)])
    row = 0
    while row < len(hashes):
        end = max(row + 1, int(np.searchsorted(totals, totals[row] + BLOCK, side='right')) - 1)
        counts = behind[row:end]
        first = np.repeat(np.arange(row, end), counts)
        second = first + 1 + np.arange(len(first)) - np.repeat(totals[row:end] - totals[row], counts)
        near = np.bitwise_count(hashes[first] ^ hashes[second]) <= distance
        if near.any():
            yield np.stack([first[near], second[near]], axis=1)
        row = end
