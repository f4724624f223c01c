"""Errors on hidden pixels and trivial fillers, against loops over pixels."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from mmengine.runner import LogProcessor

from simmim_mm.evaluation import MaskedReconstructionMetric, local_mean, mean_colour


def test_mean_colour_by_hand():
    image = torch.tensor([[[[1.0, 3.0], [5.0, 100.0]]]])
    hidden = torch.tensor([[[False, False], [False, True]]])
    # (1 + 3 + 5) / 3 = 3
    assert mean_colour(image, hidden).tolist() == [[[[1.0, 3.0], [5.0, 3.0]]]]


@pytest.mark.parametrize('radius', [1, 2, 5])
def test_local_mean_equals_a_loop(radius):
    rng = np.random.default_rng(radius)
    image, hidden = rng.normal(size=(2, 9, 13)), rng.random((9, 13)) < 0.8
    expected = image.copy()
    for row, column in zip(*np.nonzero(hidden), strict=True):
        reach = radius
        while True:
            window = np.s_[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            visible = ~hidden[window]
            if visible.any():
                break
            reach *= 2
        expected[:, row, column] = image[:, window[0], window[1]][:, visible].mean(axis=1)
    filled = local_mean(torch.from_numpy(image)[None], torch.from_numpy(hidden)[None], radius)[0]
    assert np.allclose(filled.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize('filler', [mean_colour, local_mean])
def test_fillers_keep_what_is_visible_and_survive_what_is_not(filler):
    image = torch.randn(2, 3, 32, 48)
    hidden = torch.rand(2, 32, 48) < 0.5
    hidden[1] = True
    filled = filler(image, hidden)
    assert torch.equal(filled[0][:, ~hidden[0]], image[0][:, ~hidden[0]])
    assert torch.equal(filled[1], torch.zeros(3, 32, 48))


def test_the_metric_averages_over_hidden_pixels_then_images():
    metric = MaskedReconstructionMetric()
    hidden = torch.tensor([[True, False], [False, False]])
    image = torch.tensor([[[2.0, 1.0], [1.0, 4.0]]])  # mean of the visible pixels: 2
    metric.process(
        None,
        [
            {'image': image, 'reconstruction': image + 0.5, 'hidden': hidden},
            {'image': image, 'reconstruction': image - 1.5, 'hidden': ~hidden},  # only the 2 is visible
            {'image': image, 'reconstruction': image + 9.0, 'hidden': torch.zeros(2, 2, dtype=torch.bool)},
        ],
    )
    values = metric.evaluate(size=3)
    assert values['val/hidden_l1'] == pytest.approx((0.5 + 1.5) / 2)
    # |2 - 2| = 0, and (|1 - 2| + |1 - 2| + |4 - 2|) / 3 = 4 / 3
    assert values['val/mean_colour_l1'] == pytest.approx((0 + 4 / 3) / 2)
    assert values['val/local_mean_l1'] == pytest.approx((0 + 4 / 3) / 2)


def test_a_validation_is_logged_as_it_is(build_model):
    """MMEngine's log processor averages keys of a pattern over past values; none of ours is one of them."""
    metric, images = MaskedReconstructionMetric(), torch.randn(2, 3, 64, 64)
    metric.process({}, build_model().predict(images, torch.ones(2, 2, 2, dtype=torch.bool)))
    keys = metric.evaluate(2).keys()
    assert 'val/hidden_objective' in keys
    assert not [key for key in keys if re.search(LogProcessor().mean_pattern, key)]
