"""Spectral residual and sampling by score, against formulas worked out the long way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from simmim_mm.masking import cell_means, cells_by_score, spectral_residual, standardise


def brute_force_residual(grey: np.ndarray, sigma: float) -> np.ndarray:
    """The formulas of the paper with sums of exponentials, a loop over windows and a dense Gaussian."""
    grey = grey / np.abs(grey).max()
    height, width = grey.shape
    rows = np.exp(-2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    columns = np.exp(-2j * np.pi * np.outer(np.arange(width), np.arange(width)) / width)
    spectrum = rows @ grey @ columns
    log_amplitude = np.log(np.abs(spectrum))
    residual = np.empty_like(log_amplitude)
    for i, j in itertools.product(range(height), range(width)):
        window = [
            log_amplitude[min(max(i + di, 0), height - 1), min(max(j + dj, 0), width - 1)]
            for di, dj in itertools.product((-1, 0, 1), repeat=2)
        ]
        residual[i, j] = log_amplitude[i, j] - sum(window) / 9
    back = rows.conj() @ np.exp(residual + 1j * np.angle(spectrum)) @ columns.conj() / (height * width)
    saliency = np.abs(back) ** 2
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(saliency, [(radius, radius) if axis == each else (0, 0) for each in (0, 1)], mode='edge')
        saliency = np.apply_along_axis(lambda line: np.convolve(line, weights, mode='valid'), axis, padded)
    return saliency


@pytest.mark.parametrize(('shape', 'sigma'), [((16, 16), 2.5), ((9, 14), 1.0)])
def test_spectral_residual_is_the_papers_formula(shape, sigma):
    """To 1e-5 of the largest value (amplitudes have 1e-8 added)."""
    grey = np.random.default_rng(0).random(shape)
    ours, expected = spectral_residual(grey, sigma), brute_force_residual(grey, sigma)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * expected.max())


def test_spectral_residual_finds_the_odd_one_out():
    """A grid of equal bars with one turned, and a little noise: the largest saliency lies on it."""
    grey = 0.05 * np.random.default_rng(0).random((64, 64))
    for i, j in itertools.product(range(0, 64, 8), repeat=2):
        grey[i + 1 : i + 7, j + 3 : j + 5] += 1
    grey[40:48, 16:24] = 0
    grey[43:45, 17:23] = 1
    row, column = np.unravel_index(spectral_residual(grey).argmax(), grey.shape)
    assert 40 <= row < 48
    assert 16 <= column < 24


def test_spectral_residual_does_not_depend_on_the_unit():
    """0 to 1, 0 to 255 and 16 bits give the same map; an even image gives an even one, a black one too."""
    grey = skimage.data.camera()[::8, ::8] / 255
    first = spectral_residual(grey)
    for factor in (255, 65535, 1e-3):
        np.testing.assert_allclose(spectral_residual(grey * factor), first, rtol=1e-6, atol=1e-9 * first.max())
    for even in (np.full((32, 48), 7.0), np.zeros((32, 48))):
        assert not standardise(spectral_residual(even)).any()


@given(st.tuples(*[st.integers(1, 4)] * 4))
def test_cell_means(sizes):
    """The mean of each square."""
    h, w, rows, columns = sizes
    values = np.random.default_rng(h).normal(size=(h * rows, w * columns))
    means = cell_means(values, (h, w))
    for i, j in itertools.product(range(h), range(w)):
        part = values[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        assert means[i, j] == pytest.approx(part.mean())


def test_standardise():
    """Mean 0, deviation 1, order kept; what is equal but for rounding becomes 0."""
    scores = standardise(np.array([[1.0, 5.0, 3.0]]))
    assert scores.mean() == pytest.approx(0)
    assert scores.std() == pytest.approx(1)
    assert scores.argsort().tolist() == [[0, 2, 1]]
    assert not standardise(np.array([[0.3, 0.1 + 0.2]])).any()


def test_zero_temperature_takes_the_highest():
    """As sorting does; between equal ones draws decide."""
    scores = np.random.default_rng(0).normal(size=(5, 6))
    for num in (0, 1, 11, 30):
        mask = cells_by_score(scores, num, 0.0, np.random.default_rng(num))
        assert set(scores[mask]) == set(np.sort(scores.ravel())[len(scores.ravel()) - num :])
    tied = np.array([[1.0, 0.0, 0.0, 0.0, -1.0]])
    drawn = [cells_by_score(tied, 2, 0.0, np.random.default_rng(seed))[0] for seed in range(300)]
    assert all(mask[0] and not mask[4] for mask in drawn)
    assert np.abs(np.sum(drawn, axis=0)[1:4] - 100).max() < 35  # the standard deviation is 8


def test_draws_are_without_replacement_in_proportion_to_the_weights():
    """Probabilities of all pairs of 4, of successive draws, by hand; 20000 draws, within 5 standard deviations."""
    scores, temperature = np.array([[0.0, 0.3, -0.5, 1.0]]), 0.7
    weights = [math.exp(score / temperature) for score in scores[0]]
    expected = {}
    for pair in itertools.combinations(range(4), 2):
        expected[pair] = sum(
            weights[a] / sum(weights) * weights[b] / (sum(weights) - weights[a]) for a, b in (pair, pair[::-1])
        )
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(expected, 0)
    for _ in range(20000):
        counts[tuple(np.flatnonzero(cells_by_score(scores, 2, temperature, rng)[0]).tolist())] += 1
    assert sum(expected.values()) == pytest.approx(1)
    for pair, share in expected.items():
        assert abs(counts[pair] / 20000 - share) < 5 * math.sqrt(share * (1 - share) / 20000), pair


def test_infinite_temperature_is_uniform():
    """Each of 4 cells in half of 4000 draws of 2."""
    rng = np.random.default_rng(0)
    masks = [cells_by_score(np.array([[9.0, 1.0, -5.0, 0.0]]), 2, math.inf, rng) for _ in range(4000)]
    assert np.abs(np.mean(masks, axis=0) - 0.5).max() < 0.04
