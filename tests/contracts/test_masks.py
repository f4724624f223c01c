"""Promise: masks are bool, hide the exact number of cells, follow from their seed, and fit or are refused."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from mmpretrain.datasets.transforms import SimMIMMaskGenerator

from simmim_mm.datasets import SampleIndex, UnlabelledImages, stack_samples


def _draw(transform, image_hw, seed=0, **kwargs):
    mask = transform('RandomPatchMask', **kwargs)
    return mask(dict(img=np.zeros((*image_hw, 3), np.uint8), rng=np.random.default_rng(seed)))['mask']


@pytest.mark.parametrize('image_hw', [(192, 192), (64, 96), (224, 32), (32, 32)])
@pytest.mark.parametrize('ratio', [0, 0.0, 0.1, 0.5, 0.6, 0.75, 1.0, 1])
def test_masks_are_bool_with_the_exact_count(transform, image_hw, ratio):
    """`ceil(cells * ratio)` cells are hidden, in exact arithmetic; True means hidden; (h, w) follows the image."""
    mask = _draw(transform, image_hw, mask_patch_size=32, mask_ratio=ratio)
    assert mask.dtype == np.bool_
    assert mask.shape == (image_hw[0] // 32, image_hw[1] // 32)
    assert mask.sum() == math.ceil(mask.size * Fraction(str(ratio)))


def test_the_published_setting_hides_22_of_36(transform):
    """192 px, cells of 32 px, ratio 0.6 (arXiv 2111.09886, section 4.1)."""
    assert _draw(transform, (192, 192), mask_patch_size=32, mask_ratio=0.6).sum() == 22


@pytest.mark.parametrize(('size', 'cell'), [(192, 32), (224, 32), (192, 16), (192, 64), (192, 8), (192, 4)])
@pytest.mark.parametrize('ratio', [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_counts_are_those_of_the_published_generator(transform, size, cell, ratio):
    """As many cells as mmpretrain's copy of the authors' generator, over the settings of the paper's Table 1."""
    theirs = SimMIMMaskGenerator(size, mask_patch_size=cell, model_patch_size=4, mask_ratio=ratio).mask_count
    assert _draw(transform, (size, size), mask_patch_size=cell, mask_ratio=ratio).sum() == theirs


@pytest.mark.parametrize(('cells', 'ratio', 'expected'), [(100, 0.07, 7), (100, 0.14, 14), (100, 0.28, 28)])
def test_binary_rounding_hides_no_extra_cell(transform, cells, ratio, expected):
    """0.07 * 100 is 7.000000000000001 in binary, of which the published code makes 8."""
    assert math.ceil(cells * ratio) == expected + 1
    assert _draw(transform, (10, 10), mask_patch_size=1, mask_ratio=ratio).sum() == expected


def test_masks_follow_from_their_seed(transform):
    """Equal seeds, equal masks; other seeds, other masks."""
    first, again, other = (_draw(transform, (192, 192), seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_masks_are_drawn_afresh(transform):
    """Of 200 draws of 22 in 36 cells (5.6e9 possible), no two are equal."""
    rng = np.random.default_rng(0)
    generator = transform('RandomPatchMask', mask_patch_size=32, mask_ratio=0.6)
    image = np.zeros((192, 192, 3), np.uint8)
    drawn = {generator(dict(img=image, rng=rng))['mask'].tobytes() for _ in range(200)}
    assert len(drawn) == 200


def test_cells_are_hidden_uniformly(transform):
    """No cell is favoured, and neighbours are hidden together no more often than others.

    With n cells of which k are hidden in each of N draws, sum((O - E)^2) / (N p (1 - p)) * (n - 1) / n is chi-squared
    with n - 1 degrees of freedom. The 99.99 % quantile for 34 is 74.9.
    """
    num_draws, h, w = 3000, 5, 7
    rng = np.random.default_rng(1)
    generator = transform('RandomPatchMask', mask_patch_size=8, mask_ratio=0.4)
    image = np.zeros((8 * h, 8 * w, 3), np.uint8)
    masks = np.stack([generator(dict(img=image, rng=rng))['mask'] for _ in range(num_draws)])
    n, k = h * w, 14
    assert (masks.sum((1, 2)) == k).all()
    share = k / n
    deviation = masks.sum(0) - num_draws * share
    assert (deviation**2).sum() / (num_draws * share * (1 - share)) * (n - 1) / n < 74.9
    # Two cells are both hidden with probability k (k - 1) / n (n - 1); the standard error of the mean is below 0.005.
    both = share * (k - 1) / (n - 1)
    assert (masks[:, :, 1:] & masks[:, :, :-1]).mean() == pytest.approx(both, abs=0.01)
    assert (masks[:, 1:] & masks[:, :-1]).mean() == pytest.approx(both, abs=0.01)


def test_mask_without_a_data_set_follows_numpys_seed(transform):
    """In a pipeline of another package there is no `rng`: entropy comes from the global state, which hosts seed."""
    generator = transform('RandomPatchMask')
    results = dict(img=np.zeros((192, 192, 3), np.uint8))
    np.random.seed(7)
    first, second = (generator(dict(results))['mask'] for _ in range(2))
    np.random.seed(7)
    assert np.array_equal(generator(dict(results))['mask'], first)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize('ratio', [-0.1, 1.1, float('nan'), float('inf'), '0.6', None, True])
def test_wrong_ratios_are_refused(transform, ratio):
    """The message holds the value and the range."""
    with pytest.raises(ValueError, match='from 0 to 1') as error:
        transform('RandomPatchMask', mask_ratio=ratio)
    assert f'mask_ratio={ratio!r}' in str(error.value)


@pytest.mark.parametrize('size', [0, -32, 32.0, '32', None, True])
def test_wrong_cell_sizes_are_refused(transform, size):
    """The message holds the value."""
    with pytest.raises(ValueError, match='side of a cell') as error:
        transform('RandomPatchMask', mask_patch_size=size)
    assert f'mask_patch_size={size!r}' in str(error.value)


def test_a_cell_that_does_not_divide_names_those_that_would(transform):
    """All divisors of 192 from 4 up; for a prime side, the crop has to change."""
    with pytest.raises(ValueError, match='mask_patch_size=30 does not divide the image side 192') as error:
        _draw(transform, (192, 192), mask_patch_size=30)
    assert 'use one of 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 192' in str(error.value)
    with pytest.raises(ValueError, match='both sides of the 64x97 image; change the size of the crop'):
        _draw(transform, (64, 97), mask_patch_size=32)


class AnySizeModel:
    """A tiny SimMIM that takes images of any multiple of 32, with a short repr for reports of hypothesis."""

    def __init__(self, build_model, tiny_swin):
        self.model = build_model(backbone=tiny_swin(pad_small_map=True))

    def loss(self, packed):
        return self.model(**self.model.data_preprocessor(stack_samples([packed])), mode='loss')['loss']


@pytest.fixture
def any_size_model(build_model, tiny_swin):
    return AnySizeModel(build_model, tiny_swin)


sides = st.one_of(st.integers(1, 5).map(lambda count: 32 * count), st.integers(20, 170))
cell_sizes = st.one_of(st.sampled_from([4, 8, 16, 32, 64, 96]), st.integers(1, 100))
ratios = st.one_of(st.sampled_from([0.0, 0.5, 0.6, 1.0]), st.floats(0, 1))


@settings(max_examples=300)
@example((64, 96), 32, 0.0)
@example((96, 64), 4, 1.0)
@example((96, 96), 48, 0.6)  # divides the image, but not the 3x3 feature map
@example((96, 96), 12, 0.6)  # three stem cells, but not a part of a feature cell
@example((64, 64), 2, 0.6)  # finer than a stem cell
@given(st.tuples(sides, sides), cell_sizes, ratios)
def test_any_setting_works_or_says_what_is_wrong(any_size_model, image_folder, image_hw, cell, ratio):
    """From file to loss: cells that divide image, stem and feature map train; others are refused with their values."""
    height, width = image_hw
    pipeline = [
        dict(type='LoadImage'),
        dict(type='RandomResizedCrop', size=image_hw),
        dict(type='RandomFlip'),
        dict(type='RandomPatchMask', mask_patch_size=cell, mask_ratio=ratio),
        dict(type='PackMaskedImage'),
    ]
    folder = image_folder(1)

    def sample():
        return UnlabelledImages(folder, pipeline=pipeline, serialize_data=False)[SampleIndex(0, 1, 2)]

    if height % cell or width % cell:
        event('does not divide the image')
        with pytest.raises(ValueError, match=f'mask_patch_size={cell} does not divide') as error:
            sample()
        assert f'the image side {height};' in str(error.value) or f'the {height}x{width} image' in str(error.value)
        return
    packed = sample()
    h, w = height // cell, width // cell
    assert packed['inputs'].shape == (3, height, width)
    assert packed['mask'].dtype == torch.bool
    assert packed['mask'].shape == (h, w)
    exact = Fraction(ratio) * h * w
    # In exact arithmetic, but for ratios that are a hair (1e-9 cells) above a whole number of cells.
    assert int(packed['mask'].sum()) in {math.ceil(exact), math.ceil(exact - Fraction(1, 10**9))}

    fits_encoder = height % 32 == 0 and width % 32 == 0
    fits_stem = cell % 4 == 0
    fits_map = cell % 32 == 0 or 32 % cell == 0
    if fits_encoder and fits_stem and fits_map:
        event('trains')
        loss = any_size_model.loss(packed)
        assert torch.isfinite(loss)
        assert (loss == 0) == (packed['mask'].sum() == 0)
        return
    event('does not fit the encoder')
    with pytest.raises(ValueError, match='change the size of the crop|mask_patch_size') as error:
        any_size_model.loss(packed)
    assert f'{height}x{width}' in str(error.value) or f'{h}x{w}' in str(error.value)
