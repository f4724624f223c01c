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


@pytest.mark.parametrize('channels', [1, 3, 4, 13])
@pytest.mark.parametrize('value_range', [(0, 65535), (0, 1), (-30.0, 5.0), (0, 255)])
def test_channels_and_range_are_enough(channels, value_range):
    """Middle and quarter of the range become 0 and 1 deviation, whatever the units; the ends +-2, by hand."""
    preprocessor = _build(channels=channels, value_range=value_range)
    low, high = value_range
    for value, expected in ((low, -2.0), ((low + high) / 2, 0.0), (high, 2.0)):
        out = preprocessor(_batch(torch.full((2, channels, 3, 5), float(value))))['inputs']
        torch.testing.assert_close(out, torch.full((2, channels, 3, 5), expected), atol=1e-5, rtol=0)
    ends = preprocessor.normalised_range()
    assert [end.shape for end in ends] == [(channels,)] * 2
    torch.testing.assert_close(torch.stack(ends), torch.tensor([[-2.0], [2.0]]).expand(2, channels))


def test_the_range_of_8_bits_in_normalised_units():
    """(0 - mean) / std and (255 - mean) / std, channel by channel, by hand."""
    low, high = _build().normalised_range()
    torch.testing.assert_close(low, torch.tensor([-2.117904, -2.035714, -1.804444]), atol=1e-5, rtol=0)
    torch.testing.assert_close(high, torch.tensor([2.248908, 2.428571, 2.640000]), atol=1e-5, rtol=0)


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_channels_alone_means_8_bits(channels):
    """ImageNet's statistics for RGB, the middle of the range otherwise; uint8 goes in, floats do not."""
    preprocessor = _build(channels=channels)
    expected = IMAGENET['mean'] if channels == 3 else [127.5] * channels
    torch.testing.assert_close(preprocessor.mean.flatten(), torch.tensor(expected))
    preprocessor(_batch(torch.zeros(1, channels, 4, 4, dtype=torch.uint8)))
    with pytest.raises(ValueError, match='expects 8-bit images.*value_range'):
        preprocessor(_batch(torch.zeros(1, channels, 4, 4)))


def test_8_bit_images_do_not_pass_for_16_bit_ones():
    """They would all look black, and the loss would be small for nothing."""
    with pytest.raises(ValueError, match=r'8-bit images, but data_preprocessor has value_range=\(0.0, 65535.0\)'):
        _build(channels=3, value_range=(0, 65535))(_batch(torch.zeros(1, 3, 4, 4, dtype=torch.uint8)))


def test_denormalise_gives_floats_back():
    """Beyond 8 bits: the values, not rounded and not clipped."""
    preprocessor = _build(mean=[1000.0, 0.5], std=[300.0, 0.1], value_range=(0, 10000))
    images = torch.tensor([[1234.5, 0.25], [-50.0, 3.0]]).view(2, 2, 1, 1)
    torch.testing.assert_close(preprocessor.denormalise(preprocessor(_batch(images))['inputs']), images)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(channels=13, **IMAGENET), '13 of data_preprocessor contradicts its 3 means.*mean=None, std=None'),
        (dict(channels=2, mean=[1.5]), '1 means and 2 stds'),
        (dict(value_range=(0, 65535), **IMAGENET), 'are those of ImageNet.*mean=None, std=None'),
        (dict(mean=[4000.0], std=[900.0]), r'do not fit values of 0 to 255.*value_range=\(0, 65535\)'),
        (dict(mean=[0.5], std=[0.2]), r'look like units of 0 to 1.*value_range=\(0, 1\)'),
        *(
            (dict(channels=value), f'channels={value!r}'.replace('[', '.').replace(']', '.'))
            for value in (0, -1, True, '3', 2.0, [3])
        ),
        *(
            (dict(value_range=value), 'value_range=.* must be .lowest, highest.')
            for value in (255, '0..1', (1, 0), (0, 0), (0, float('nan')), (0, 1, 2), (False, 5), ('0', '1'))
        ),
        (dict(mean=[float('nan')], std=[1.0]), 'finite numbers'),
        (dict(mean=3.0), 'must be lists'),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(arguments, words):
    """The message holds the values and what to write instead."""
    with pytest.raises(ValueError, match=words):
        _build(**arguments)


def test_images_of_0_to_1_are_welcome_where_they_are_announced():
    assert _build(mean=[0.5], std=[0.2], value_range=(0, 1)).channels == 1
