"""Crops against torchvision's on Pillow images."""

import math

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import RandomResizedCrop as TorchvisionCrop
from torchvision.transforms.functional import resized_crop

RANGES = dict(scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3))


def _numbered(height, width):
    """An image whose first two channels hold each pixel's row and column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1)


@pytest.mark.parametrize('name', ['astronaut', 'coffee', 'chelsea', 'rocket'])
@pytest.mark.parametrize('size', [(192, 192), (64, 96), (600, 500)], ids=str)
def test_crop_and_resize_are_torchvisions(transform, photographs, name, size):
    """The same box, cropped and resized by Pillow: within 1 grey level on 99.9 % of the values, never more than 2."""
    crop = transform('RandomResizedCrop', size=size)
    image = photographs[name]
    for seed in range(3):
        top, left, height, width = crop._draw_box(*image.shape[:2], np.random.default_rng(seed))
        ours = crop(dict(img=image, rng=np.random.default_rng(seed)))
        theirs = resized_crop(Image.fromarray(image), top, left, height, width, list(size))
        difference = np.abs(ours['img'].astype(int) - np.asarray(theirs))
        assert ours['img'].shape == (*size, 3)
        assert ours['img_shape'] == size
        assert difference.max() <= 2
        assert (difference <= 1).mean() > 0.999


@pytest.mark.parametrize('shape', [(375, 500), (500, 375)])
def test_boxes_are_distributed_as_torchvisions(transform, shape):
    """Deciles of area, aspect, top and left of 4000 boxes each: within 4 % of the range of torchvision's.

    The 99.99 % quantile of the Kolmogorov-Smirnov distance for two samples of 4000 is 0.05, so the deciles of uniform
    quantities differ by less.
    """
    crop = transform('RandomResizedCrop', size=192, **RANGES)
    picture = Image.new('L', shape[::-1])
    rng = np.random.default_rng(0)
    ours = np.array([crop._draw_box(*shape, rng) for _ in range(4000)], float)
    theirs = np.array([TorchvisionCrop.get_params(picture, **RANGES_AS_LISTS) for _ in range(4000)], float)

    def quantities(boxes):
        top, left, height, width = boxes.T
        return dict(area=height * width, aspect=np.log(width / height), top=top, left=left)

    for name, values in quantities(ours).items():
        reference = quantities(theirs)[name]
        deciles = np.linspace(0.1, 0.9, 9)
        distance = np.quantile(values, deciles) - np.quantile(reference, deciles)
        assert np.abs(distance).max() < 0.05 * np.ptp(reference), name


RANGES_AS_LISTS = {name: list(value) for name, value in RANGES.items()}


@pytest.mark.parametrize('image_hw', [(40, 60), (33, 200), (200, 33), (5, 5), (1, 1), (1, 300)])
@pytest.mark.parametrize('size', [32, (32, 64)])
def test_boxes_lie_in_the_image_and_in_the_ranges(transform, image_hw, size):
    """Inside the image; area and aspect in range (but for rounding to pixels) unless no such box fits."""
    crop = transform('RandomResizedCrop', size=size, **RANGES)
    aspect = 1 if size == 32 else 2
    rng = np.random.default_rng(0)
    image = np.zeros((*image_hw, 3), np.uint8)
    for _ in range(100):
        top, left, height, width = crop._draw_box(*image_hw, rng)
        assert 0 <= top <= top + height <= image_hw[0]
        assert 0 <= left <= left + width <= image_hw[1]
        assert height > 0
        assert width > 0
        if min(image_hw) > 30:
            assert 0.73 < width / height / aspect < 1.37
    assert crop(dict(img=image, rng=rng))['img'].shape[:2] == crop.size


def test_every_place_of_a_box_is_equally_likely(transform):
    """Boxes of 5x5 (an area of 25) in an image of 6x7: 2 x 3 places, each in a sixth of 3000 draws (deviation: 20)."""
    crop = transform('RandomResizedCrop', size=32, scale=(25 / 42, 25 / 42), ratio=(1, 1))
    rng = np.random.default_rng(0)
    boxes = [crop._draw_box(6, 7, rng) for _ in range(3000)]
    for top in range(2):
        for left in range(3):
            assert abs(boxes.count((top, left, 5, 5)) - 500) < 80


@pytest.mark.parametrize(
    ('image_hw', 'expected'),
    [
        # 20x200 is wider than 4/3: all of the height, round(20 * 4/3) = 27 columns from (200 - 27) // 2 = 86.
        ((20, 200), (0, 86, 20, 27)),
        # 200x20 is narrower than 3/4: all of the width, round(20 / (3/4)) = 27 rows.
        ((200, 20), (86, 0, 27, 20)),
    ],
)
def test_where_no_box_fits_the_largest_central_one_is_taken(transform, image_hw, expected):
    """torchvision's fallback."""
    crop = transform('RandomResizedCrop', size=32, **RANGES)
    assert crop._draw_box(*image_hw, np.random.default_rng(0)) == expected
    picture = Image.new('L', image_hw[::-1])
    assert TorchvisionCrop.get_params(picture, **RANGES_AS_LISTS) == expected


def test_resize_is_antialiased(transform):
    """Stripes of one pixel become even grey, where a resize without antialiasing keeps black or white."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    image = transform('CenterCrop', size=64)(dict(img=stripes))['img']
    assert np.abs(image.astype(int) - 127.5).max() < 20


def test_source_is_not_changed(transform, photographs):
    """The array that went in may be in a cache."""
    image = photographs['coffee'].copy()
    for name, arguments in (('RandomResizedCrop', dict(size=32)), ('CenterCrop', dict(size=32)), ('RandomFlip', {})):
        transform(name, **arguments)(dict(img=image, rng=np.random.default_rng(0)))
        assert np.array_equal(image, photographs['coffee'])


@pytest.mark.parametrize(
    ('image_hw', 'size', 'box'),
    [
        ((100, 60), 60, (20, 0, 60, 60)),
        ((60, 100), 60, (0, 20, 60, 60)),
        ((100, 100), (40, 80), (25, 0, 50, 100)),
        ((100, 100), (80, 40), (0, 25, 100, 50)),
        ((90, 91), 30, (0, 0, 90, 90)),
    ],
)
def test_center_crop_takes_the_largest_central_box(transform, image_hw, size, box):
    """Worked by hand; the result is Pillow's resize of that box."""
    image = _numbered(*image_hw)
    top, left, height, width = box
    out = transform('CenterCrop', size=size)(dict(img=image))
    height_out, width_out = (size, size) if isinstance(size, int) else size
    part = Image.fromarray(image).crop((left, top, left + width, top + height))
    expected = np.asarray(part.resize((width_out, height_out), Image.Resampling.BILINEAR))
    assert out['img_shape'] == out['img'].shape[:2] == (height_out, width_out)
    assert np.abs(out['img'].astype(int) - expected).max() <= 1


@pytest.mark.parametrize('image_hw', [(1, 1), (1, 500), (500, 1), (7, 3)])
def test_tiny_images_are_enlarged(transform, image_hw):
    """A pixel becomes an even image."""
    image = np.full((*image_hw, 3), 77, np.uint8)
    for name in ('CenterCrop', 'RandomResizedCrop'):
        out = transform(name, size=(32, 64))(dict(img=image, rng=np.random.default_rng(0)))['img']
        assert out.shape == (32, 64, 3)
        assert (out == 77).all()


@pytest.mark.parametrize('channels', [1, 4, 13])
def test_any_number_of_channels_goes_through(transform, channels):
    """Each channel as if it were alone."""
    image = np.random.default_rng(0).integers(0, 256, (50, 60, channels), np.uint8)
    for name in ('CenterCrop', 'RandomResizedCrop'):
        crop = transform(name, size=32)
        whole = crop(dict(img=image, rng=np.random.default_rng(1)))['img']
        for channel in range(channels):
            alone = crop(dict(img=image[..., channel : channel + 1], rng=np.random.default_rng(1)))['img']
            assert np.array_equal(whole[..., channel : channel + 1], alone)


@pytest.mark.parametrize('prob', [0, 0.3, 1])
def test_flip_mirrors_left_and_right(transform, prob):
    """A share of `prob` of 2000 images, within 4 standard deviations; rows keep their place."""
    image = _numbered(3, 5)
    flip = transform('RandomFlip', prob=prob)
    rng = np.random.default_rng(0)
    flipped = 0
    for _ in range(2000):
        out = flip(dict(img=image, rng=rng))
        columns = [4, 3, 2, 1, 0] if out['flip'] else [0, 1, 2, 3, 4]
        assert out['img'][1, :, 1].tolist() == columns
        assert out['img'][:, 1, 0].tolist() == [0, 1, 2]
        flipped += out['flip']
    assert abs(flipped - 2000 * prob) <= 4 * math.sqrt(2000 * prob * (1 - prob))


@pytest.mark.parametrize('size', [0, -1, 1.5, '192', None, (192,), (1, 2, 3), (192, 0), True, (True, 5)])
@pytest.mark.parametrize('name', ['RandomResizedCrop', 'CenterCrop'])
def test_wrong_sizes_are_refused(transform, name, size):
    """The message holds the value and both forms of a size."""
    with pytest.raises(ValueError, match=r'192, or \(height, width\)') as error:
        transform(name, size=size)
    assert f'size={size!r}' in str(error.value)


@pytest.mark.parametrize(
    'arguments',
    [dict(scale=(0, 1)), dict(scale=(0.8, 0.2)), dict(scale=(0.5, 1.1)), dict(scale=(0.5,)), dict(ratio=(-1, 1))],
    ids=str,
)
def test_wrong_ranges_are_refused(transform, arguments):
    """The message holds the name and the value."""
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match='is no range') as error:
        transform('RandomResizedCrop', size=32, **arguments)
    assert f'{name}={value!r}' in str(error.value)


@pytest.mark.parametrize('prob', [-0.1, 1.1, '0.5', None])
def test_wrong_probabilities_are_refused(transform, prob):
    """The message holds the value."""
    with pytest.raises(ValueError, match='from 0 to 1') as error:
        transform('RandomFlip', prob=prob)
    assert f'prob={prob!r}' in str(error.value)
