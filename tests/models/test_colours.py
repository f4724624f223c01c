"""Colours as labels, against integer arithmetic and brute force."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from simmim_mm.models import ColorBinTarget, ColorClusterTarget, MaskedImagePreprocessor, ReconstructionHead
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


@pytest.mark.parametrize('bins', [2, 8, 256, 1000, 65535, 65536])
@pytest.mark.parametrize(('mean', 'std'), [(32767.5, 16383.75), (1200.3, 777.7)])
def test_all_values_of_16_bits(mean, std, bins):
    """Each of 65536, normalised, against v * bins // 65536; and without the number of levels, which follows."""
    preprocessor = MaskedImagePreprocessor([mean], [std], value_range=(0, 65535))
    values = torch.arange(65536).view(1, 1, 256, 256)
    images = preprocessor(dict(inputs=values.float()))['inputs']
    limits = tuple(side.tolist() for side in preprocessor.normalised_range())
    for options in (dict(levels=65536), dict(raw_range=preprocessor.value_range)):
        target = ColorBinTarget(1, limits, bins=bins, **options)
        assert torch.equal(target(images), values * bins // 65536)
    squares = values.view(1, 1, 16, 16, 16, 16).sum(dim=(3, 5)) * bins // (65536 * 256)
    assert torch.equal(ColorBinTarget(1, limits, bins=bins, stride=16, **options)(images), squares)


@pytest.mark.parametrize(
    ('value_range', 'levels'), [((0, 255), 256), ((0, 65535), 65536), ((0, 4095), 4096), ((0, 1), None), (None, 256)]
)
def test_levels_follow_from_the_range_of_the_model(build_model, value_range, levels):
    """The number of whole numbers of 8 to 16 bits; any value for others, in equal bins over the range."""
    preprocessor = dict(type='MaskedImagePreprocessor', channels=3, value_range=value_range)
    cfg = dict(type='ColorBinTarget', bins=8, stride=4)
    parts = dict(loss=dict(type='CrossEntropyLoss'), type='ReconstructionHead')
    model = build_model(data_preprocessor=preprocessor, head=dict(target=cfg, **parts))
    assert model.head.target.levels == levels
    if levels is None:
        shares = torch.arange(16).repeat_interleave(4).div(16).expand(1, 3, 64, 64).contiguous()
        images = model.data_preprocessor(dict(inputs=shares))['inputs']
        labels = model.head.target(images)
        assert torch.equal(labels[0, 0, 0], torch.arange(16) // 2)
        shown = model.data_preprocessor.denormalise(model.head.target.to_images(labels, images))
        torch.testing.assert_close(shown[0, 0, 0, ::8], (torch.arange(8) + 0.5) / 8)
        return
    wrong = 256 if levels != 256 else 65536
    with pytest.raises(
        ValueError, match=rf'levels={wrong} of ColorBinTarget contradicts value_range=\(0, {levels - 1}'
    ):
        build_model(data_preprocessor=preprocessor, head=dict(target=dict(cfg, levels=wrong), **parts))


def test_clusters_of_other_values_are_refused(build_model, colour_file):
    """Colours of 16 bits say nothing of a model of 0 to 10000; of its own range, a colour is itself."""

    def build(value_range, file):
        target = dict(type='ColorClusterTarget', clusters=file)
        return build_model(
            data_preprocessor=dict(type='MaskedImagePreprocessor', channels=3, value_range=value_range),
            head=dict(type='ReconstructionHead', target=target, loss=dict(type='CrossEntropyLoss')),
        )

    centres = [[1000.0] * 3, [5000.0] * 3, [9000.0] * 3]
    with pytest.raises(ValueError, match=r'values from 0 to 65535, and those of the model are from 0 to 10000'):
        build((0, 10000), colour_file(centres, value_range=(0, 65535)))
    with pytest.raises(ValueError, match=r'values from 0 to 65535, and those of the model are from 0 to 255'):
        build(None, colour_file(centres, value_range=(0, 65535)))
    model = build((0, 10000), colour_file(centres, value_range=(0.002, 10000.003)))  # as rounded in fp32
    images = model.data_preprocessor(dict(inputs=torch.full((1, 3, 64, 64), 5000.0)))['inputs']
    assert model.head.target(images).unique().tolist() == [1]


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
    with pytest.raises(
        FileNotFoundError,
        match=r'make it with: python tools/cluster_colours.py CONFIG .*FOLDER .*--out \'my no.npz\'\n.*the config file',
    ):
        ColorClusterTarget(3, limits, clusters='my no.npz')
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


@pytest.mark.parametrize('value', ['8', -1, 0, 1, 2.5, True, float('nan'), 65537, 2**24])
def test_wrong_numbers_of_levels_are_refused(value):
    with pytest.raises(ValueError, match='levels=.* of ColorBinTarget must be a whole number from 2 to 65536'):
        ColorBinTarget(1, ([0.0], [1.0]), levels=value)


@pytest.mark.parametrize('value', [5, 'ab', (1, 0), (0, float('nan')), (0, 1, 2), (None, 1)])
def test_wrong_raw_ranges_are_refused(value, colour_file):
    for owner, build in (
        ('ColorBinTarget', lambda **more: ColorBinTarget(1, ([0.0], [1.0]), **more)),
        ('ColorClusterTarget', lambda **more: ColorClusterTarget(1, ([0.0], [1.0]), colour_file([[0], [9]]), **more)),
        ('ReconstructionHead', lambda **more: ReconstructionHead(1, **more)),
    ):
        with pytest.raises(ValueError, match=f'raw_range=.* of {owner} must be .lowest, highest'):
            build(raw_range=value)


@pytest.mark.parametrize('limits', [5, 'ab', ([0.0], [1.0]), ([0.0] * 3, [0.0] * 3), ([0] * 3, [float('nan')] * 3)])
def test_wrong_ranges_are_refused(limits):
    with pytest.raises(ValueError, match='pixel_range=.* of ColorBinTarget must'):
        ColorBinTarget(3, limits)
    with pytest.raises(ValueError, match='needs to know the range of the pixels.*MaskedImagePreprocessor'):
        ColorBinTarget(3)
