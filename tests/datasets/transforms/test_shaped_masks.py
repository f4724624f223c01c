"""Masks with a shape: squares and blocks, by properties and by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmim_mm.datasets.transforms import BlockwiseMask, SquareMask


def draw(generator, h: int, w: int, seed: int) -> np.ndarray:
    side = generator.mask_patch_size
    results = {'img': np.zeros((h * side, w * side, 3), np.uint8), 'rng': np.random.default_rng(seed)}
    return generator(results)['mask']


def neighbours(mask: np.ndarray) -> int:
    """Pairs of adjacent hidden cells."""
    return int((mask[1:] & mask[:-1]).sum() + (mask[:, 1:] & mask[:, :-1]).sum())


SIZES = dict(h=st.integers(1, 16), w=st.integers(1, 16), ratio=st.floats(0, 1), seed=st.integers(0, 2**32))


@given(**SIZES, position=st.sampled_from(['random', 'central']))
def test_a_square_mask_is_one_square_of_the_nearest_size(h, w, ratio, seed, position):
    mask = draw(SquareMask(position=position, mask_patch_size=4, mask_ratio=ratio), h, w, seed)
    assert mask.dtype == bool
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    side = len(rows)
    assert side == len(columns)
    assert mask.sum() == side**2
    if side:
        assert mask[rows[0] : rows[0] + side, columns[0] : columns[0] + side].all()
    # No other side that fits is nearer to the wanted one.
    wanted = math.sqrt(h * w * ratio)
    assert abs(side - wanted) <= min(abs(other - wanted) for other in range(min(h, w) + 1)) + 1e-9
    if position == 'central' and side:
        assert abs((rows[0] + rows[-1]) - (h - 1)) <= 1
        assert abs((columns[0] + columns[-1]) - (w - 1)) <= 1


def test_random_squares_are_everywhere():
    generator = SquareMask(mask_patch_size=4, mask_ratio=0.25)
    share = np.mean([draw(generator, 6, 6, seed) for seed in range(2000)], axis=0)
    # A 3x3 square has 4x4 places; the corner is in 1 of 16, the middle cells in 9 of 16.
    assert share[0, 0] == pytest.approx(1 / 16, abs=0.02)
    assert share[2, 2] == pytest.approx(9 / 16, abs=0.04)


@given(**SIZES, min_block=st.integers(1, 20), aspect=st.floats(0.05, 1))
def test_a_blockwise_mask_has_the_exact_number_of_cells(h, w, ratio, seed, min_block, aspect):
    generator = BlockwiseMask(min_block=min_block, aspect=aspect, mask_patch_size=4, mask_ratio=ratio)
    mask = draw(generator, h, w, seed)
    assert mask.dtype == bool
    assert mask.shape == (h, w)
    assert mask.sum() == math.ceil(round(h * w * ratio, 9))
    assert np.array_equal(mask, draw(generator, h, w, seed))


def test_blocks_hang_together_more_than_random_cells():
    """On BEiT's grid and ratio: more adjacent hidden pairs than independent cells would have."""
    generator = BlockwiseMask(mask_patch_size=4, mask_ratio=0.4)
    pairs = np.mean([neighbours(draw(generator, 14, 14, seed)) for seed in range(200)])
    # 2 * 14 * 13 pairs of cells, both hidden with a share of about 0.4 ** 2.
    assert pairs > 1.4 * 2 * 14 * 13 * 0.4**2


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: SquareMask(position='left'), "position='left' of SquareMask is unknown"),
        (lambda: BlockwiseMask(min_block=0), 'min_block=0'),
        (lambda: BlockwiseMask(min_block=2.5), 'min_block=2.5'),
        (lambda: BlockwiseMask(aspect=0), 'aspect=0'),
        (lambda: BlockwiseMask(aspect=float('nan')), 'aspect=nan'),
        (lambda: BlockwiseMask(mask_ratio=1.5), 'mask_ratio=1.5'),
        (lambda: SquareMask(mask_patch_size=0), 'mask_patch_size=0'),
    ],
)
def test_wrong_options_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
