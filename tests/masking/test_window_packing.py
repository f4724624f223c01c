"""Grouping windows: no token lost, no window torn, and as full as can be."""

import itertools

import numpy as np
import pytest

from simmim_mm.masking.packing import fullest, group_tokens, pack


@pytest.mark.parametrize('capacity', [7, 11, 12, 20])
def test_the_fullest_bin_is_that_of_all_choices(capacity):
    """Against trying every number of items of every size."""
    rng = np.random.default_rng(capacity)
    for _ in range(20):
        sizes = rng.choice(np.arange(2, 8), size=3, replace=False)
        available = {int(size): int(rng.integers(1, 4)) for size in sizes}
        totals = [
            sum(size * num for size, num in zip(available, nums, strict=True))
            for nums in itertools.product(*(range(most + 1) for most in available.values()))
        ]
        chosen = fullest(available, capacity)
        assert all(1 <= num <= available[size] for size, num in chosen.items())
        assert sum(size * num for size, num in chosen.items()) == max(t for t in totals if t <= capacity)


def test_bins_hold_all_items_once():
    histogram = {36: 5, 24: 9, 12: 30, 6: 7, 1: 3}
    held = dict.fromkeys(histogram, 0)
    bins = pack(histogram, 48)
    for kind, copies in bins:
        assert sum(size * num for size, num in kind.items()) <= 48
        for size, num in kind.items():
            held[size] += copies * num
    assert held == histogram
    total = sum(size * num for size, num in histogram.items())
    assert sum(copies for _, copies in bins) == -(-total // 48)  # here none is wasted


@pytest.mark.parametrize('seed', range(4))
def test_groups_keep_windows_whole_and_every_token(seed):
    rng = np.random.default_rng(seed)
    windows = rng.choice(rng.integers(0, 10**6, size=40), size=300)
    groups = group_tokens(windows)
    there = groups.slots >= 0
    assert sorted(groups.slots[there]) == list(range(300))
    assert (there == (groups.windows >= 0)).all()
    names = windows[groups.slots]
    for number in range(groups.windows.max() + 1):
        rows, _ = np.nonzero(groups.windows == number)
        assert len(set(rows)) == 1
        assert len(set(names[groups.windows == number])) == 1
    assert len({*names[there]}) == groups.windows.max() + 1


def test_small_windows_share_groups_where_that_is_cheaper():
    """60 windows of 20 tokens and one of 30: in groups of 30, 61 times 30^2; two in a group of 40, 31 times 40^2."""
    windows = np.concatenate([np.repeat(np.arange(60), 20), np.repeat(60, 30)])
    assert group_tokens(windows).slots.shape == (31, 40)
