"""Pairs of hashes within a Hamming distance, against comparing all with all."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmim_mm.data_quality import hamming
from simmim_mm.data_quality.hamming import near_pairs

NUMBERS = st.integers(0, 2**64 - 1)


def found_pairs(hashes, distance):
    pairs = [tuple(pair) for block in near_pairs(np.array(hashes, np.uint64), distance) for pair in block.tolist()]
    assert len(set(pairs)) == len(pairs)
    return sorted(pairs)


def brute_force(hashes, distance):
    close = [(a, b) for a, b in combinations(range(len(hashes)), 2) if (hashes[a] ^ hashes[b]).bit_count() <= distance]
    return sorted(close)


@given(NUMBERS, st.lists(st.sets(st.integers(0, 63), max_size=6), max_size=12), st.integers(0, 63))
def test_neighbours_of_one_hash(centre, flips, distance):
    """Hashes around one another, at distances about the limit."""
    hashes = [centre, *(centre ^ sum(1 << bit for bit in bits) for bits in flips)]
    assert found_pairs(hashes, distance) == brute_force(hashes, distance)


@pytest.mark.parametrize('distance', [0, 4, 9, 22])
@pytest.mark.parametrize('block', [7, 2**22])
def test_hashes_with_many_neighbours(distance, block, monkeypatch):
    """Whatever fits into one block of comparisons."""
    monkeypatch.setattr(hamming, 'BLOCK', block)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 150, dtype=np.uint64).tolist()
    for number in range(150):
        flips = rng.choice(64, rng.integers(0, distance + 3), replace=False).tolist()
        hashes.append(hashes[number % 40] ^ sum(1 << bit for bit in flips))
    pairs = brute_force(hashes, distance)
    assert len(pairs) > 20
    assert found_pairs(hashes, distance) == pairs


@pytest.mark.parametrize('hashes', [[], [5], [5, 5, 5]])
def test_few_hashes(hashes):
    assert found_pairs(hashes, 3) == brute_force(hashes, 3)
