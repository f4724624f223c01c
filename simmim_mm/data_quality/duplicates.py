"""Groups of files with the same content, and of pictures that look the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from simmim_mm.data_quality.hamming import near_pairs
from simmim_mm.data_quality.records import ImageRecord

# Pairs that are kept before they are made into groups: series of equal frames have more than memory holds.
KEPT_PAIRS = 10_000_000


def exact_groups(records: Sequence[ImageRecord]) -> np.ndarray:
    """Groups files that are equal byte for byte.

    Args:
        records: N files.

    Returns:
        (N,) int64, the number of each one's group; files whose content is not known are alone.
    """
    numbers: dict[bytes, int] = {}
    alone = len(records)
    groups = np.empty(len(records), dtype=np.int64)
    for position, record in enumerate(records):
        if record.content is None:
            groups[position] = alone + position
        else:
            groups[position] = numbers.setdefault(record.content, len(numbers))
    return _renumber(groups)


def near_groups(records: Sequence[ImageRecord], comparable: np.ndarray, distance: int) -> np.ndarray:
    """Groups files that are equal, or whose pictures have hashes within a distance of each other.

    Groups are closed: where A is near B and B near C, all three are in one group, however far A is from C.

    Args:
        records: N files.
        comparable: (N,) bool, which pictures may be compared by their hashes. Those of blank images say nothing.
        distance: Most bits, of 64, in which two hashes may differ.

    Returns:
        (N,) int64, the number of each one's group.
    """
    exact = exact_groups(records)
    positions = np.flatnonzero(comparable)
    hashes = np.array([_hash_of(records[position]) for position in positions], dtype=np.uint64)
    unique, of_unique = np.unique(hashes, return_inverse=True)
    near = _components(len(unique), near_pairs(unique, distance))[of_unique]
    # A file's nodes are itself, its content and its hash's group; what shares a node is in one group.
    num, num_exact = len(records), int(exact.max(initial=-1)) + 1
    links = [
        np.stack([np.arange(num), num + exact], axis=1),
        np.stack([positions, num + num_exact + near], axis=1),
    ]
    total = num + num_exact + int(near.max(initial=-1)) + 1
    return _renumber(_components(total, links)[:num])


def _hash_of(record: ImageRecord) -> int:
    assert record.measures is not None
    return record.measures.perceptual_hash


def _components(num: int, links: Iterable[np.ndarray]) -> np.ndarray:
    """Connected components of a graph of ``num`` nodes, whose links come in arrays of (n, 2)."""
    labels = np.arange(num)
    kept: list[np.ndarray] = []
    for pairs in links:
        kept.append(pairs)
        if sum(map(len, kept)) > KEPT_PAIRS:
            labels = _join(labels, kept)
            kept = []
    return _join(labels, kept)


def _join(labels: np.ndarray, links: list[np.ndarray]) -> np.ndarray:
    if not links:
        return labels
    ends = labels[np.concatenate(links)]
    num = len(labels)
    graph = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=(num, num))
    return connected_components(graph, directed=False)[1][labels]


def _renumber(groups: np.ndarray) -> np.ndarray:
    """Numbers groups from 0 in the order of their first files."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
