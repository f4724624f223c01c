"""Colours as labels, against integer arithmetic and brute force."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from simmim_mm.models import ColorBinTarget, ColorClusterTarget, MaskedImagePreprocessor
from simmim_mm.models.targets import colour_clusters

STATISTICS = {
    'imagenet': ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    'narrow': ([0.0, 255.0, 17.3], [1.0, 0.5, 3.7]),
    'wide': ([127.5], [255.0]),
    'many bands': ([100.0 + band for band in range(13)], [20.0 + 3 * band for band in range(13)]),
}


def preprocess(mean, std, images):
    """Normalised images, and the range of the pixels as SimMIM hands it on."""
    preprocessor = MaskedImagePreprocessor(mean, std)
    mask = torch.zeros(len(images), 1, 1, dtype=torch.bool)
    limits = tuple(tuple(side.tolist()) for side in preprocessor.normalised_range())
    return preprocessor(dict(inputs=images, mask=mask))['inputs'], limits, preprocessor


@pytest.mark.parametrize('bins', [2, 8, 10, 100, 256])
@pytest.mark.parametrize('name', STATISTICS)
def test_each_value_has_its_bin(name, bins):
    """All of 0 to 255, normalised in fp32 and back, against v * bins // 256; 8 and 256 are the paper's."""
    mean, std = STATISTICS[name]
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, len(mean), 1, 1)
    images, limits, _ = preprocess(mean, std, values)
    target = ColorBinTarget(len(mean), limits, bins=bins)
    labels = target(images)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, values.long() * bins // 256)
    assert (target.channels, target.num_classes, target.stride) == (len(mean), bins, 1)


@pytest.mark.parametrize('bins', [8, 256])
def test_pictures_of_bins_are_their_means(bins):
    """256 bins give the image back; 8 the mean of 32 values: 15.5, 47.5 and so on."""
    mean, std = STATISTICS['imagenet']
    values = torch.randint(256, (2, 3, 8, 12), dtype=torch.uint8)
    images, limits, preprocessor = preprocess(mean, std, values)
    target = ColorBinTarget(3, limits, bins=bins)
    shown = target.to_images(target(images), images)
    width = 256 // bins
    expected = (values // width) * float(width) + (width - 1) / 2
    expected = (expected - preprocessor.mean) / preprocessor.std
    torch.testing.assert_close(shown, expected, rtol=0, atol=2e-6)
    if bins == 256:
        assert torch.equal(preprocessor.denormalise(shown), values)


def test_bins_of_means_over_squares():
    """Stride 4: the mean of 16 integers, against exact arithmetic; and a picture of the full size."""
    values = torch.randint(256, (2, 3, 16, 24), dtype=torch.uint8)
    images, limits, _ = preprocess(*STATISTICS['imagenet'], values)
    target = ColorBinTarget(3, limits, bins=8, stride=4)
    sums = values.long().view(2, 3, 4, 4, 6, 4).sum(dim=(3, 5))
    assert torch.equal(target(images), sums * 8 // (16 * 256))
    assert target.to_images(target(images), images).shape == images.shape


def test_other_depths_and_values_out_of_range():
    """16 bits in 256 bins: v // 256; what lies outside the range has the nearest label."""
    limits = ([-1.0], [3.0])
    values = torch.tensor([0, 1, 255, 256, 257, 65279, 65280, 65535])
    images = (values / 65535 * 4 - 1).view(1, 1, 2, 4).float()
    target = ColorBinTarget(1, limits, bins=256, levels=65536)
    assert torch.equal(target(images).flatten(), values // 256)
    assert target(torch.tensor([[[[-50.0, 50.0]]]])).flatten().tolist() == [0, 255]


@pytest.mark.parametrize('shape', [(7, 3), (64, 13), (2, 1)])
def test_clusters_equal_brute_force(colour_file, shape, monkeypatch):
    """The nearest of all centres, in shares of the range; in several pieces too."""
    centres = np.random.default_rng(0).uniform(0, 255, shape)
    channels = shape[1]
    values = torch.randint(256, (2, channels, 6, 10), dtype=torch.uint8)
    images, limits, preprocessor = preprocess([100.0] * channels, [50.0 + band for band in range(channels)], values)
    target = ColorClusterTarget(channels, limits, clusters=colour_file(centres))
    labels = target(images)
    pixels = values.permute(0, 2, 3, 1).reshape(-1, 1, channels).double()
    distances = (pixels - torch.from_numpy(centres)).square().sum(-1)
    assert labels.shape == (2, 1, 6, 10)
    # Where two centres are equally near but for rounding, either is right.
    chosen = distances.gather(1, labels.view(-1, 1)).squeeze(1)
    assert (chosen <= distances.min(dim=1).values + 0.1).all()
    assert (labels.flatten() == distances.argmin(dim=1)).float().mean() > 0.99
    monkeypatch.setattr(colour_clusters, 'CHUNK', 100)
    assert torch.equal(target(images), labels)
    shown = target.to_images(labels, images) * preprocessor.std + preprocessor.mean
    expected = torch.from_numpy(centres)[labels.squeeze(1)].movedim(-1, 1).float()
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-3)


def test_clusters_are_of_means_over_squares(colour_file):
    """Black and white, stride 2: which is nearer to the mean of four pixels."""
    images = torch.tensor([[0.0, 0, 1, 1], [0, 0.9, 1, 0.1]]).view(1, 1, 2, 4)
    target = ColorClusterTarget(1, ([0.0], [1.0]), clusters=colour_file([[0.0], [255.0]]), stride=2)
    assert target(images).flatten().tolist() == [0, 1]
    assert target.to_images(target(images), images)[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_autocast_moves_no_label(colour_file):
    """A product of matrices in bf16 would: 512 colours are nearer to each other than its precision."""
    centres = np.random.default_rng(0).uniform(0, 255, (512, 3))
    target = ColorClusterTarget(3, ([0.0] * 3, [1.0] * 3), clusters=colour_file(centres))
    images = torch.rand(1, 3, 32, 32)
    with torch.autocast('cpu', torch.bfloat16):
        labels = target(images)
    assert torch.equal(labels, target(images))


def test_a_checkpoint_brings_its_own_colours(colour_file, caplog):
    """The labels that a model was trained with are its own; another file is pointed out, the same one is not."""
    limits = ([0.0] * 3, [1.0] * 3)
    first = ColorClusterTarget(3, limits, clusters=colour_file(np.eye(3) * 255))
    second = ColorClusterTarget(3, limits, clusters=colour_file(np.eye(3) * 200, 'other.npz'))
    assert list(first.state_dict()) == ['centres']
    logger = MMLogger.get_current_instance()
    logger.setLevel(logging.WARNING)
    logger.addHandler(caplog.handler)
    try:
        first.load_state_dict(first.state_dict())
        assert caplog.text == ''
        second.load_state_dict(first.state_dict())
    finally:
        logger.removeHandler(caplog.handler)
    assert 'trained with other colours than those in' in caplog.text
    assert torch.equal(second.centres, torch.eye(3))


def test_files_that_do_not_fit_are_refused(colour_file, tmp_path):
    """Missing (with the command that makes it), of other channels, damaged, or no name at all."""
    limits = ([0.0] * 3, [1.0] * 3)
    with pytest.raises(FileNotFoundError, match=r'make it with: python tools/cluster_colours.py CONFIG.*--out no.npz'):
        ColorClusterTarget(3, limits, clusters='no.npz')
    with pytest.raises(ValueError, match=r'have 1 channels, and the images 3.*cluster_colours.py CONFIG'):
        ColorClusterTarget(3, limits, clusters=colour_file([[0.0], [255.0]]))
    (tmp_path / 'broken.npz').write_bytes(b'PK damaged')
    with pytest.raises(ValueError, match='no file of colour clusters, or a damaged one.*--force'):
        ColorClusterTarget(3, limits, clusters=str(tmp_path / 'broken.npz'))
    with pytest.raises(ValueError, match='holds no usable colour clusters'):
        ColorClusterTarget(3, limits, clusters=colour_file(np.full((4, 3), np.nan), 'nan.npz'))
    for name in (5, None, True):
        with pytest.raises(ValueError, match='clusters=.* of ColorClusterTarget must be a file name'):
            ColorClusterTarget(3, limits, clusters=name)


@pytest.mark.parametrize('value', ['8', None, -1, 0, 1, 2.5, True, float('nan'), 257])
def test_wrong_numbers_of_bins_are_refused(value):
    with pytest.raises(ValueError, match='bins=.* of ColorBinTarget must be a whole number from 2 to 256'):
        ColorBinTarget(1, ([0.0], [1.0]), bins=value)
    if value not in (1, 257):
        with pytest.raises(ValueError, match='stride=.* of ColorBinTarget must be a whole number from 1'):
            ColorBinTarget(1, ([0.0], [1.0]), stride=value)
        with pytest.raises(ValueError, match='levels=.* of ColorBinTarget must be a whole number from 2'):
            ColorBinTarget(1, ([0.0], [1.0]), levels=value)


@pytest.mark.parametrize('limits', [5, 'ab', ([0.0], [1.0]), ([0.0] * 3, [0.0] * 3), ([0] * 3, [float('nan')] * 3)])
def test_wrong_ranges_are_refused(limits):
    with pytest.raises(ValueError, match='pixel_range=.* of ColorBinTarget must'):
        ColorBinTarget(3, limits)
    with pytest.raises(ValueError, match='needs to know the range of the pixels.*MaskedImagePreprocessor'):
        ColorBinTarget(3)
