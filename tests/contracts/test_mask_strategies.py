"""Promise: every mask generator hides what it says, at any cell, ratio and shape, and follows from its seed."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import skimage.data

from simmim_mm.datasets.transforms import MaskGenerator
from simmim_mm.registry import TRANSFORMS

GENERATORS = sorted(
    name
    for name, cls in TRANSFORMS.module_dict.items()
    if issubclass(cls, MaskGenerator) and cls.__module__.startswith('simmim_mm.')
)
# Follow the ratio in steps; how is tested in tests/datasets/transforms/test_shaped_masks.py.
IN_STEPS = ('RectangleMask', 'SquareMask')
FOLLOW_CONTENT = ('SaliencyMask', 'SemanticMask')
SIZES = [(192, 192), (128, 256), (256, 64)]
RATIOS = [0, 0.1, 0.6, 0.9, 1]


PHOTOGRAPH = skimage.data.chelsea()


def sample(image_hw: tuple[int, int]) -> dict:
    """A photograph with a map of 12 labels."""
    height, width = image_hw
    image = PHOTOGRAPH[:height, :width]
    assert image.shape[:2] == image_hw
    labels = np.add.outer(np.arange(height) * 3 // height * 4, np.arange(width) * 4 // width)
    return {'img': image, 'maps': {'labels': labels}}


def draw(generator, image_hw, seed):
    return generator({**sample(image_hw), 'rng': np.random.default_rng(seed)})['mask']


def test_all_are_here():
    assert len(GENERATORS) >= 8
    assert set(IN_STEPS) < set(GENERATORS)


@pytest.mark.parametrize('cell', [1, 4, 8, 16, 32, 64])
@pytest.mark.parametrize('name', GENERATORS)
def test_masks_are_bool_exact_and_follow_from_their_seed(transform, name, cell):
    """`ceil(cells * ratio)` in exact arithmetic where the definition has a count; (h, w) follows the image."""
    for image_hw in SIZES:
        for ratio in RATIOS:
            generator = transform(name, mask_patch_size=cell, mask_ratio=ratio)
            mask = draw(generator, image_hw, seed=1)
            assert mask.dtype == np.bool_
            assert mask.shape == (image_hw[0] // cell, image_hw[1] // cell)
            if ratio == 0:
                assert not mask.any()
                continue
            if ratio == 1 and not (name == 'SquareMask' and image_hw[0] != image_hw[1]):
                assert mask.all()
                continue
            if name not in IN_STEPS:
                assert mask.sum() == math.ceil(mask.size * Fraction(str(ratio)))
            assert np.array_equal(mask, draw(generator, image_hw, seed=1))
            # Content can leave one choice: all objects together make 0.9, or one of four cells stands out.
            free = name not in FOLLOW_CONTENT or (ratio == 0.6 and mask.size >= 8)
            if free and not mask.all() and mask.any():
                others = [draw(generator, image_hw, seed) for seed in range(2, 8)]
                assert any(not np.array_equal(mask, other) for other in others)


@pytest.mark.parametrize('name', GENERATORS)
def test_the_image_is_left_alone(transform, name):
    """Mask generators draw; nothing else of the sample changes."""
    before = sample((192, 192))
    after = transform(name)({**before, 'rng': np.random.default_rng(0)})
    assert set(after) == {'img', 'maps', 'rng', 'mask'}
    assert np.array_equal(after['img'], skimage.data.chelsea()[:192, :192])
    assert np.array_equal(after['maps']['labels'], sample((192, 192))['maps']['labels'])


@pytest.mark.parametrize('name', GENERATORS)
def test_any_number_of_channels_and_kind_of_pixels(transform, name):
    """13 channels, one channel, 16 bits, floating point."""
    rng = np.random.default_rng(0)
    for image in (
        rng.integers(0, 256, (64, 96, 13), dtype=np.uint8),
        rng.integers(0, 65536, (64, 96, 1), dtype=np.uint16),
        rng.normal(size=(64, 96, 4)).astype(np.float32),
    ):
        results = {'img': image, 'maps': {'labels': np.ones((64, 96), dtype=int)}, 'rng': rng}
        assert transform(name, mask_patch_size=16)(results)['mask'].shape == (4, 6)


@pytest.mark.parametrize('bad', [0, -4, 2.0, '32', None, True, float('nan')])
@pytest.mark.parametrize('name', GENERATORS)
def test_wrong_cells_are_refused(transform, name, bad):
    with pytest.raises(ValueError, match='mask_patch_size='):
        transform(name, mask_patch_size=bad)


@pytest.mark.parametrize('bad', [-0.1, 1.1, '0.6', None, True, float('nan')])
@pytest.mark.parametrize('name', GENERATORS)
def test_wrong_ratios_are_refused(transform, name, bad):
    with pytest.raises(ValueError, match='mask_ratio='):
        transform(name, mask_ratio=bad)
