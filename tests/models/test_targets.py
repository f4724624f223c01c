"""Targets and losses, against loops over pixels and formulas worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simmim_mm.models import PixelTarget, SmoothL1Loss


def windows(image: np.ndarray, size: int):
    """For each position its row, column and window, cut at the edges."""
    reach = size // 2
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            top, left = max(0, row - reach), max(0, column - reach)
            yield row, column, image[:, top : row + reach + 1, left : column + reach + 1]


@pytest.mark.parametrize('size', [3, 7, 47])
def test_window_norm_equals_the_published_formula(size):
    """Each pixel less the mean, over the unbiased deviation, of the window around it; 47 is wider than the image."""
    image = np.random.default_rng(size).normal(size=(2, 12, 9))
    expected = np.empty_like(image)
    for row, column, window in windows(image, size):
        mean, variance = window.mean(axis=(1, 2)), window.var(axis=(1, 2), ddof=1)
        expected[:, row, column] = (image[:, row, column] - mean) / np.sqrt(variance + 1e-6)
    target = PixelTarget(2, norm='window', norm_size=size)(torch.from_numpy(image)[None])[0]
    assert np.abs(target.numpy() - expected).max() < 1e-6


def test_patch_norm_equals_a_loop_over_patches():
    """Mean and unbiased variance over all pixels and channels of a patch (MAE)."""
    image = np.random.default_rng(0).normal(size=(3, 8, 12))
    expected = np.empty_like(image)
    for top in range(0, 8, 4):
        for left in range(0, 12, 4):
            patch = image[:, top : top + 4, left : left + 4]
            expected[:, top : top + 4, left : left + 4] = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 1e-6)
    target = PixelTarget(3, norm='patch', norm_size=4)(torch.from_numpy(image)[None])[0]
    assert np.abs(target.numpy() - expected).max() < 1e-9


@pytest.mark.parametrize('options', [dict(norm='window', norm_size=5), dict(norm='patch', norm_size=4)])
@pytest.mark.parametrize(
    ('level', 'contrast'), [(2.64, 0.0), (-2.1, 0.004), (100.0, 0.01), (-1.988, 0.0003), (1000.0, 1.0)]
)
def test_little_contrast_is_not_lost(options, level, contrast):
    """A flat region far from 0 beside a lively one, in fp32: equal to the formula in float64; a constant one is 0."""
    rng = np.random.default_rng(0)
    image = (level + contrast * rng.normal(size=(1, 2, 24, 24))).astype(np.float32)
    image[..., 16:] = rng.normal(size=(1, 2, 24, 8))
    target = PixelTarget(2, **options)
    made = target(torch.from_numpy(image))
    assert made.dtype == torch.float32
    expected = np.empty((2, 24, 24))
    exact = image[0].astype(np.float64)
    if options['norm'] == 'window':
        for row, column, window in windows(exact, 5):
            mean, variance = window.mean(axis=(1, 2)), window.var(axis=(1, 2), ddof=1)
            expected[:, row, column] = (exact[:, row, column] - mean) / np.sqrt(variance + 1e-6)
    else:
        for row, column in np.ndindex(6, 6):
            place = (slice(None), slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
            expected[place] = (exact[place] - exact[place].mean()) / np.sqrt(exact[place].var(ddof=1) + 1e-6)
    assert np.abs(made[0].numpy() - expected).max() < 1e-6
    if contrast == 0:
        assert made[..., :13].abs().max() < 1e-6
    shown = target.to_images(made, torch.from_numpy(image))
    assert shown.dtype == torch.float32
    assert np.abs(shown.numpy() - image).max() <= 1e-6 * max(1, abs(level))


def test_a_window_of_one_position_has_no_deviation():
    """A map of a single position: 0, not 0 / 0; and pictures are its image."""
    target = PixelTarget(3, stride=32, norm='window', norm_size=47)
    images = torch.full((2, 3, 32, 32), 1.5)
    assert target(images).abs().max() == 0
    assert torch.equal(target.to_images(target(images), images), images)


@pytest.mark.parametrize('stride', [2, 4, 32])
def test_a_lower_resolution_is_a_mean_over_squares(stride):
    image = np.random.default_rng(0).normal(size=(3, 64, 96))
    target = PixelTarget(3, stride=stride)(torch.from_numpy(image)[None])[0].numpy()
    for row in range(64 // stride):
        for column in range(96 // stride):
            square = image[:, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
            assert np.allclose(target[:, row, column], square.mean(axis=(1, 2)))


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(norm='window', norm_size=5),
        dict(norm='patch', norm_size=4),
        dict(stride=2, norm='window', norm_size=5),
    ],
)
def test_pictures_undo_the_target(options):
    """A perfect prediction becomes the image, at the target's resolution."""
    images = torch.randn(2, 3, 16, 24, dtype=torch.float64)
    target = PixelTarget(3, **options)
    shown = target.to_images(target(images), images)
    expected = torch.nn.functional.avg_pool2d(images, target.stride).repeat_interleave(target.stride, 2)
    torch.testing.assert_close(shown, expected.repeat_interleave(target.stride, 3))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(stride=0), 'stride=0'),
        (dict(stride=1.5), 'stride=1.5'),
        (dict(norm='batch', norm_size=3), "norm='batch'"),
        (dict(norm='window', norm_size=46), 'norm_size=46 of PixelTarget must be odd.*use 47'),
        (dict(norm='patch'), 'norm_size=0'),
        (dict(norm_size=47), 'has no use without norm'),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PixelTarget(3, **options)


def test_patches_that_do_not_tile_are_refused():
    with pytest.raises(ValueError, match='norm_size=5 of PixelTarget does not divide the 16x16 target'):
        PixelTarget(3, norm='patch', norm_size=5)(torch.zeros(1, 3, 16, 16))


def test_smooth_l1_by_hand():
    # |d| = 0.5, 2 and beta = 1: 0.5 ** 2 / 2 = 0.125, 2 - 0.5 = 1.5
    prediction, target = torch.tensor([0.5, -2.0]), torch.zeros(2)
    assert SmoothL1Loss()(prediction, target).tolist() == [0.125, 1.5]
    # beta = 4: 0.25 / 8 = 0.03125, 4 / 8 = 0.5
    assert SmoothL1Loss(beta=4)(prediction, target).tolist() == [0.03125, 0.5]
    for beta in (0, -1, float('inf'), float('nan'), '1'):
        with pytest.raises(ValueError, match='of SmoothL1Loss must be a number above 0'):
            SmoothL1Loss(beta=beta)


@pytest.mark.parametrize('loss', ['L1Loss', 'L2Loss', 'SmoothL1Loss'])
@pytest.mark.parametrize(
    'options', [dict(stride=2), dict(stride=32), dict(norm='window', norm_size=47), dict(norm='patch', norm_size=16)]
)
def test_the_loss_of_a_target_is_the_mean_over_its_hidden_positions(build_model, options, loss):
    """The sparse loss against the dense map: decoded everywhere, averaged where a position is hidden."""
    head = dict(type='ReconstructionHead', target=dict(type='PixelTarget', **options), loss=dict(type=loss))
    model = build_model(head=head)
    images = torch.randn(2, 3, 64, 64)
    mask = torch.tensor([[[True, False], [False, True]], [[True, True], [True, False]]])
    with torch.no_grad():
        value = model.loss(images, mask)['loss']
        features, hidden = model.masker.encode(model.backbone, images, mask)
        prediction, target = model.neck(features, hidden), model.head.target(images)
    side = 32 // model.head.target.stride
    where = np.kron(mask.numpy(), np.ones((side, side))).astype(bool)
    distance = torch.nn.functional
    function = dict(L1Loss=distance.l1_loss, L2Loss=distance.mse_loss, SmoothL1Loss=distance.smooth_l1_loss)[loss]
    expected = function(prediction, target, reduction='none').mean(dim=1)[torch.from_numpy(where)].mean()
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_a_target_coarser_than_the_encoder_is_refused(build_model):
    head = dict(type='ReconstructionHead', target=dict(type='PixelTarget', stride=64))
    with pytest.raises(ValueError, match='one position of the target is 64 pixels wide, which does not divide the 32'):
        build_model(head=head)


@pytest.mark.parametrize('cell', [16, 32])
def test_a_loss_over_all_pixels_is_the_mean_over_the_image(build_model, cell):
    """Table 4's other row; and an unknown area is refused."""
    model = build_model(head=dict(type='ReconstructionHead', area='all'))
    images, mask = torch.randn(2, 3, 64, 64), torch.rand(2, 64 // cell, 64 // cell) < 0.5
    with torch.no_grad():
        value = model.loss(images, mask)['loss']
        expected = (model.reconstruct(images, mask).images - images).abs().mean()
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    with pytest.raises(ValueError, match="area='visible' of ReconstructionHead is unknown"):
        build_model(head=dict(type='ReconstructionHead', area='visible'))
