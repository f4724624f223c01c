"""Masks with a shape: squares, rectangles, blocks, strokes and blobs, by properties and by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label

from simmim_mm.datasets.transforms import (
    BlockwiseMask,
    IrregularMask,
    PixelMask,
    RandomPatchMask,
    RectangleMask,
    SquareMask,
)


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


def test_blocks_can_be_squares_alone():
    """An aspect of 1 leaves one choice."""
    assert draw(BlockwiseMask(aspect=1, min_block=4, mask_patch_size=4, mask_ratio=0.04), 10, 10, 0).sum() == 4


def test_blocks_hang_together_more_than_random_cells():
    """On BEiT's grid and ratio: more adjacent hidden pairs than independent cells would have."""
    generator = BlockwiseMask(mask_patch_size=4, mask_ratio=0.4)
    pairs = np.mean([neighbours(draw(generator, 14, 14, seed)) for seed in range(200)])
    # 2 * 14 * 13 pairs of cells, both hidden with a share of about 0.4 ** 2.
    assert pairs > 1.4 * 2 * 14 * 13 * 0.4**2


@given(**SIZES, aspect=st.floats(0.05, 1))
def test_a_rectangle_mask_is_one_rectangle_of_the_nearest_width(h, w, ratio, seed, aspect):
    """Full within its bounds; no other width of that height is nearer to the area; its aspect is allowed, or forced."""
    mask = draw(RectangleMask(aspect=aspect, mask_patch_size=4, mask_ratio=ratio), h, w, seed)
    assert mask.dtype == bool
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    height, width, area = len(rows), len(columns), h * w * ratio
    assert mask.sum() == height * width
    if not height:
        assert area <= 0.5 + 1e-9
        return
    assert mask[rows[0] : rows[0] + height, columns[0] : columns[0] + width].all()
    assert abs(height * width - area) <= height / 2 + 1e-6
    wanted = [math.sqrt(area * aspect) - 0.5 - 1e-9, math.sqrt(area / aspect) + 0.5 + 1e-9]
    forced = height in (1, h) or height == math.ceil(round(area / w, 9))
    assert wanted[0] <= height <= wanted[1] or forced


def test_rectangles_have_many_aspects_and_places():
    """Of 300 draws: both lying and standing ones in every quarter of the grid."""
    generator = RectangleMask(mask_patch_size=4, mask_ratio=0.2)
    masks = [draw(generator, 16, 16, seed) for seed in range(300)]
    heights = np.array([mask.any(axis=1).sum() for mask in masks])
    widths = np.array([mask.any(axis=0).sum() for mask in masks])
    assert 0.35 < (heights > widths).mean() < 0.65
    assert len(set(zip(heights.tolist(), widths.tolist(), strict=True))) > 5
    assert np.mean(masks, axis=0).min() > 0


@given(**SIZES, num=st.integers(2, 5))
def test_several_rectangles_hide_at_most_their_areas(h, w, ratio, seed, num):
    """Each is off by half its height at most, and overlaps hide less; never more than the sum."""
    mask = draw(RectangleMask(num=num, mask_patch_size=4, mask_ratio=ratio), h, w, seed)
    assert mask.sum() <= h * w * ratio + num * h / 2 + 1e-6
    assert label(mask)[1] <= num


def test_several_rectangles_seldom_overlap():
    """Three at 0.3 hide more than 0.29 in the mean of 100 draws, where those of one random place each hide 0.273."""
    generator = RectangleMask(num=3, mask_patch_size=4, mask_ratio=0.3)
    masks = [draw(generator, 48, 48, seed) for seed in range(100)]
    assert 0.29 < np.mean(masks) < 0.31
    assert max(label(mask)[1] for mask in masks) == 3


@given(**SIZES, stroke_share=st.floats(0, 1))
def test_an_irregular_mask_has_the_exact_number_of_cells(h, w, ratio, seed, stroke_share):
    mask = draw(IrregularMask(stroke_share=stroke_share, mask_patch_size=4, mask_ratio=ratio), h, w, seed)
    assert mask.dtype == bool
    assert mask.shape == (h, w)
    assert mask.sum() == math.ceil(round(h * w * ratio, 9))


@pytest.mark.parametrize('stroke_share', [0, 1])
@pytest.mark.parametrize('ratio', [0.1, 0.5, 0.99])
def test_irregular_masks_hang_together(stroke_share, ratio):
    """Far fewer parts than random pixels have, and more neighbours; at 0.99 after more shapes than are drawn."""
    irregular = IrregularMask(stroke_share=stroke_share, mask_patch_size=1, mask_ratio=ratio)
    random = RandomPatchMask(mask_patch_size=1, mask_ratio=ratio)
    for seed in range(3):
        mask, scattered = draw(irregular, 96, 128, seed), draw(random, 96, 128, seed)
        assert mask.sum() == scattered.sum()
        assert label(mask)[1] <= 30
        assert neighbours(mask) > neighbours(scattered)


def test_blobs_are_thicker_than_strokes():
    """The mean distance to what is visible, at equal ratio, and narrow brushes."""
    from simmim_mm.masking import mean_distance_to_visible

    def thickness(**options):
        generator = IrregularMask(mask_patch_size=1, mask_ratio=0.1, **options)
        return np.mean([mean_distance_to_visible(draw(generator, 128, 128, seed)) for seed in range(10)])

    strokes = thickness(stroke_share=1, stroke_width=(0.03, 0.04))
    blobs = thickness(stroke_share=0, blob_radius=(0.1, 0.2))
    assert strokes < 3
    assert blobs > 2 * strokes


def test_pixel_masks_are_random_cells_of_one_pixel():
    """The same draws as a RandomPatchMask with cells of 1 px."""
    first = draw(PixelMask(mask_ratio=0.3), 40, 30, seed=5)
    assert np.array_equal(first, draw(RandomPatchMask(mask_patch_size=1, mask_ratio=0.3), 40, 30, seed=5))
    assert first.sum() == 360


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: RectangleMask(num=0), 'num=0'),
        (lambda: RectangleMask(num=1.0), 'num=1.0'),
        (lambda: RectangleMask(num=True), 'num=True'),
        (lambda: RectangleMask(aspect=0), 'aspect=0'),
        (lambda: RectangleMask(aspect=2), 'aspect=2'),
        (lambda: RectangleMask(aspect='1'), "aspect='1'"),
        (lambda: IrregularMask(stroke_share=-0.1), 'stroke_share=-0.1'),
        (lambda: IrregularMask(stroke_share=float('nan')), 'stroke_share=nan'),
        (lambda: IrregularMask(stroke_share='all'), "stroke_share='all'"),
        (lambda: IrregularMask(stroke_width=0.1), 'stroke_width=0.1'),
        (lambda: IrregularMask(stroke_width=(0.2, 0.1)), r'stroke_width=\(0.2, 0.1\)'),
        (lambda: IrregularMask(blob_radius=(0, 0.1)), r'blob_radius=\(0, 0.1\)'),
        (lambda: IrregularMask(blob_radius=(0.1, float('nan'))), 'blob_radius='),
        (lambda: IrregularMask(blob_radius='ab'), "blob_radius='ab'"),
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
