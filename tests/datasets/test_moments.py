"""Moments of pixels against NumPy, in any grouping."""

from __future__ import annotations

import numpy as np
import pytest

from simmim_mm.datasets import moments
from simmim_mm.datasets.moments import histogram, pixel_moments

RNG = np.random.default_rng(0)
IMAGES = {
    'uint8': [RNG.integers(3, 250, (h, w, 3)).astype(np.uint8) for h, w in ((5, 7), (30, 11), (1, 1))],
    'constant': [np.full((4, 4, 2), 7, np.uint8), np.full((2, 3, 2), 7, np.uint8)],
    'float32': [RNG.normal(1e4, 2, (h, w, 4)).astype(np.float32) for h, w in ((5, 7), (30, 11), (1, 1))],
}


@pytest.mark.parametrize('kind', IMAGES)
def test_merged_moments_are_those_of_all_pixels(kind):
    found = pixel_moments(IMAGES[kind][0])
    for image in IMAGES[kind][1:]:
        found = found.merge(pixel_moments(image))
    pixels = np.concatenate([image.reshape(-1, image.shape[2]) for image in IMAGES[kind]]).astype(np.float64)
    assert found.num == len(pixels)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-9, atol=1e-12)
    assert np.array_equal(found.low, pixels.min(axis=0))
    assert np.array_equal(found.high, pixels.max(axis=0))


def test_more_pixels_than_float32_counts_are_counted(monkeypatch):
    """In blocks, the last of them shorter."""
    monkeypatch.setattr(moments, 'COUNTABLE', 50)
    grey = RNG.integers(0, 256, (13, 17)).astype(np.uint8)
    assert np.array_equal(histogram(grey), np.bincount(grey.ravel(), minlength=256))
