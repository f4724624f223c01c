"""Normalisation on the device."""

import pytest
import torch

from simmim_mm.registry import MODELS

IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def _build(**kwargs):
    return MODELS.build(dict(type='MaskedImagePreprocessor', **kwargs))


def _batch(images, mask=None):
    mask = torch.zeros(len(images), 2, 2, dtype=torch.bool) if mask is None else mask
    return dict(inputs=images, mask=mask, img_path=['x.jpg'] * len(images))


def test_images_are_normalised():
    """(x - mean) / std, channel by channel; worked by hand for one pixel; the default is ImageNet's."""
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).repeat(1, 1, 4, 4)
    for preprocessor in (_build(), _build(**IMAGENET)):
        out = preprocessor(_batch(images))
        assert out['inputs'].dtype == torch.float32
        # -123.675 / 58.395 = -2.117904; (128 - 116.28) / 57.12 = 0.205182; (255 - 103.53) / 57.375 = 2.640000
        torch.testing.assert_close(out['inputs'][0, :, 2, 3], torch.tensor([-2.117904, 0.205182, 2.640000]))


def test_everything_else_goes_through():
    """Mask and paths arrive as they were; the batch that came in is not changed."""
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    data = _batch(images, torch.eye(2, dtype=torch.bool).repeat(2, 1, 1))
    out = _build()(data, training=True)
    assert torch.equal(out['mask'], data['mask'])
    assert out['img_path'] == ['x.jpg', 'x.jpg']
    assert data['inputs'].dtype == torch.uint8


def test_a_batch_without_masks_is_normalised_too():
    """Features of whole images need no mask."""
    out = _build()(dict(inputs=torch.zeros(1, 3, 4, 4, dtype=torch.uint8)))
    assert set(out) == {'inputs'}


@pytest.mark.parametrize('bgr', [False, True])
def test_denormalise_gives_all_256_values_back(bgr):
    """Every grey level in every channel, as uint8, in the model's channel order."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    levels[:, 1] = levels[:, 1].flip(-1)
    levels[:, 2] = levels[:, 2].flip(-2)
    preprocessor = _build(bgr_to_rgb=bgr)
    images = preprocessor.denormalise(preprocessor(_batch(levels))['inputs'])
    assert images.dtype == torch.uint8
    assert torch.equal(images, levels.flip(1) if bgr else levels)


def test_denormalise_clips():
    """Predictions leave the range of colours; they do not wrap around."""
    preprocessor = _build()
    images = torch.tensor([-1e4, 0.0, 1e4]).view(1, 3, 1, 1)
    assert preprocessor.denormalise(images).flatten().tolist() == [0, 116, 255]


def test_bgr_is_turned_before_normalising():
    """mean and std stand in the model's order: a BGR image of pure red becomes an RGB one of pure red."""
    red_as_bgr = torch.tensor([0, 0, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    red_as_rgb = red_as_bgr.flip(1)
    assert torch.equal(_build(bgr_to_rgb=True)(_batch(red_as_bgr))['inputs'], _build()(_batch(red_as_rgb))['inputs'])


@pytest.mark.parametrize('channels', [1, 3, 4, 13])
def test_channels_are_as_many_as_means(channels):
    """The number of means decides; other images are refused with both numbers."""
    preprocessor = _build(mean=[10.0] * channels, std=[2.0] * channels)
    assert preprocessor.channels == channels
    out = preprocessor(_batch(torch.full((2, channels, 4, 4), 12, dtype=torch.uint8)))
    assert (out['inputs'] == 1).all()
    with pytest.raises(ValueError, match=f'{channels + 1} channels, but data_preprocessor has {channels} means'):
        preprocessor(_batch(torch.zeros(1, channels + 1, 4, 4, dtype=torch.uint8)))


@pytest.mark.parametrize(
    ('inputs', 'words'),
    [
        (torch.zeros(1, 3, 4, 4), 'torch.float32'),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r'\(3, 4, 4\)'),
        ([torch.zeros(3, 4, 4, dtype=torch.uint8)], 'a list'),
    ],
    ids=['float', 'one image', 'list'],
)
def test_wrong_batches_are_refused(inputs, words):
    """What came, and how to pack and collate."""
    with pytest.raises(ValueError, match=words) as error:
        _build()(dict(inputs=inputs))
    assert 'PackMaskedImage' in str(error.value)
    assert 'stack_samples' in str(error.value)


@pytest.mark.parametrize(
    'mask',
    [torch.zeros(2, 2, 2), torch.zeros(2, 2, dtype=torch.bool), torch.zeros(3, 2, 2, dtype=torch.bool)],
    ids=['float', 'one mask', 'too many'],
)
def test_wrong_masks_are_refused(mask):
    """Anything but one bool mask an image."""
    with pytest.raises(ValueError, match=r'expected \(2, h, w\) bool, True means hidden'):
        _build()(_batch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), mask))


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(mean=[1.0], std=[1.0, 2.0]), '1 means and 2 stds'),
        (dict(mean=[], std=[]), '0 means'),
        (dict(mean=[0.0], std=[0.0]), r'std=\[0.0\].*above 0'),
        (dict(mean=[0.0], std=[-1.0]), r'std=\[-1.0\].*above 0'),
        (dict(mean=[0.0] * 4, std=[1.0] * 4, bgr_to_rgb=True), 'bgr_to_rgb=True needs 3 channels, but mean has 4'),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments, words):
    """The message holds the values and what to change."""
    with pytest.raises(ValueError, match=words):
        _build(**arguments)


def test_nothing_of_it_is_in_checkpoints():
    """mean and std are configuration."""
    assert _build().state_dict() == {}
