"""Histograms of oriented gradients, against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.feature import hog

from simmim_mm.models import HOGTarget, MaskedImagePreprocessor
from simmim_mm.models.targets.hog import edge_strokes


def reference(image: np.ndarray, orientations: int, cell: int, norm: str, channel: str) -> np.ndarray:
    """(channels, h, w) of an image (H, W, C)."""
    options = dict(
        orientations=orientations,
        pixels_per_cell=(cell, cell),
        cells_per_block=(1, 1),
        block_norm=norm,
        feature_vector=False,
    )
    if channel == 'max':
        return hog(image, channel_axis=-1, **options)[:, :, 0, 0].transpose(2, 0, 1)
    each = [hog(image[..., band], **options)[:, :, 0, 0] for band in range(image.shape[2])]
    return np.concatenate(each, axis=-1).transpose(2, 0, 1)


@pytest.mark.parametrize('channel', ['each', 'max'])
@pytest.mark.parametrize('norm', ['L1', 'L1-sqrt', 'L2', 'L2-Hys'])
@pytest.mark.parametrize(('orientations', 'cell'), [(9, 8), (8, 4), (12, 16)])
def test_hog_equals_scikit_image(photographs, orientations, cell, norm, channel):
    """A photograph, around 0 (by numbers that bring no rounding) and as it is, and noise; not square; to 1e-6."""
    photograph = photographs['astronaut'][40:104, 60:156].astype(np.float32)
    noise = np.random.default_rng(0).normal(size=(32, 48, 3)).astype(np.float32)
    target = HOGTarget(3, orientations=orientations, cell_size=cell, norm=norm, channel=channel)
    for image in (photograph, (photograph - np.float32(110)) / np.float32(64), noise):
        made = target(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
        expected = reference(image, orientations, cell, norm, channel)
        assert made.shape == expected.shape == (target.channels, image.shape[0] // cell, image.shape[1] // cell)
        assert np.abs(made - expected).max() < 1e-6


@pytest.mark.parametrize('orientations', [4, 6, 8, 9, 12, 16, 18, 20, 28, 36])
@pytest.mark.parametrize(('depth', 'channel'), [(255, 'each'), (65535, 'each'), (65535, 'max')])
def test_normalised_photographs_give_scikit_images_histograms(photographs, orientations, depth, channel):
    """Photographs of 8 and 16 bits, normalised by the preprocessor, against histograms of the stored values.

    Diagonal gradients lie on a bound of every number of orientations that four divides, but for the rounding. Equal to
    1e-5; in nearly flat cells, where the 1e-5 in the denominator is another share of the norm, to 1e-3. Of
    equally strong channels (7, 4) and (8, 1), say, the rounding of scikit-image's own square root chooses.
    """
    preprocessor = MaskedImagePreprocessor(channels=3, value_range=None if depth == 255 else (0, depth))
    target = HOGTarget(3, orientations=orientations, channel=channel)
    for name in ('astronaut', 'chelsea'):
        image = photographs[name][:256, :256].astype(np.float64) * (depth // 255)
        stored = torch.from_numpy(image).permute(2, 0, 1)[None].to(torch.uint8 if depth == 255 else torch.float32)
        made = target(preprocessor(dict(inputs=stored))['inputs'])[0].numpy()
        error = np.abs(made - reference(image, orientations, 8, 'L2', channel))
        lively = (
            np.abs(np.diff(image, axis=0, append=0)).min(axis=-1).reshape(32, 8, 32, 8).mean(axis=(1, 3)) > depth / 255
        )
        assert lively.mean() > 0.5
        if channel == 'each':
            assert error[:, lively].max() < 1e-5
            assert error.max() < 1e-3
        else:
            assert (error[:, lively] < 1e-5).mean() > 0.995


@pytest.mark.parametrize('channels', [1, 2, 13])
def test_hog_of_any_number_of_channels(channels):
    image = np.random.default_rng(0).normal(size=(16, 24, channels)).astype(np.float32)
    for channel in ('each', 'max'):
        target = HOGTarget(channels, channel=channel)
        made = target(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
        assert np.abs(made - reference(image, 9, 8, 'L2', channel)).max() < 1e-6
        assert target.to_pictures(torch.from_numpy(made)[None], None).shape == (1, 3, 16, 24)


def test_directions_on_a_bound_are_in_scikit_images_bin():
    """0, 45, 90 and 135 degrees and their opposites, for bins whose bounds they are."""
    for orientations in (2, 4, 6, 8, 12, 36):
        target = HOGTarget(1, orientations=orientations, cell_size=3)
        for down, right in ((0, 1), (0, -1), (1, 1), (1, 0), (-1, 0), (1, -1), (-1, 1), (-1, -1), (-1e-9, -1)):
            image = np.zeros((3, 3), dtype=np.float32)
            image[2, 1], image[0, 1], image[1, 2], image[1, 0] = down, -down, right, -right
            made = target(torch.from_numpy(image)[None, None])[0].numpy()
            assert np.abs(made - reference(image[..., None], orientations, 3, 'L2', 'each')).max() < 1e-6


def test_a_flat_image_has_no_directions():
    """0, not 0 / 0."""
    for norm in ('L1', 'L1-sqrt', 'L2', 'L2-Hys'):
        assert HOGTarget(3, norm=norm)(torch.ones(1, 3, 16, 16)).abs().max() == 0


def test_strokes_lie_along_edges():
    """A picture with an edge has its stroke there: upright in a cell with an upright edge, level with a level one."""
    target = HOGTarget(1, orientations=8, cell_size=8)  # bins around 11, 34, 56, 79 and so on degrees
    upright = torch.zeros(1, 1, 8, 8)
    upright[..., 4:] = 1
    for image in (upright, upright.mT.contiguous()):
        picture = target.to_pictures(target(image), image)[0, 0]
        rows, columns = picture.sum(dim=1).var(), picture.sum(dim=0).var()
        assert (columns > 3 * rows) if image is upright else (rows > 3 * columns)
        assert picture.min() >= 0
        assert picture.max() <= 1
    strokes = edge_strokes(8, 9)
    assert (strokes[:, 4, 4] == 1).all()  # all go through the middle


@pytest.mark.parametrize('value', ['8', None, -1, 0, 1, 2.5, True, float('nan')])
def test_wrong_numbers_are_refused(value):
    for name in ('orientations', 'cell_size'):
        with pytest.raises(ValueError, match=f'{name}=.* of HOGTarget must be a whole number from 2'):
            HOGTarget(3, **{name: value})
    for name in ('norm', 'channel'):
        with pytest.raises(ValueError, match=f'{name}=.* of HOGTarget is unknown; use '):
            HOGTarget(3, **{name: value})
