"""Loading and cropping in one step against the two steps."""

import io

import numpy as np
import pytest
from mmcv.transforms import Compose
from PIL import Image

from simmim_mm.datasets.transforms import (
    CenterCrop,
    LoadImage,
    PackMaskedImage,
    RandomFlip,
    RandomResizedCrop,
    SaliencyMask,
    UnreadableImageError,
    jpeg,
)
from simmim_mm.datasets.transforms.fused import LoadAndCrop, plan

PHOTOGRAPHS = ('astronaut', 'coffee', 'chelsea', 'rocket')


@pytest.fixture
def save(tmp_path):
    """Writes an image file and returns its path."""

    def write(image, name='image.jpg', **options):
        path = tmp_path / name
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(path, **({'quality': 92, **options} if name.endswith('jpg') else options))
        return str(path)

    return write


@pytest.fixture
def reductions(monkeypatch):
    """Which reductions were used."""
    used, crop_reduced = [], jpeg.crop_reduced

    def record(data, header, reduction, box, size):
        used.append(reduction)
        return crop_reduced(data, header, reduction, box, size)

    monkeypatch.setattr(jpeg, 'crop_reduced', record)
    return used


def _both(path, crop, seed=0, **load):
    """The sample in one step and in two, and the states of their generators."""
    outcomes = []
    for steps in ([LoadAndCrop(LoadImage(**load), crop)], [LoadImage(**load), crop]):
        results = dict(img_path=path, rng=np.random.default_rng(seed))
        for step in steps:
            results = step(results)
        outcomes.append((results, results.pop('rng').bit_generator.state))
    return outcomes


def _compare(path, crop, seed=0, **load):
    """The mean difference of the pixels; all else must be equal."""
    (one, state), (two, other) = _both(path, crop, seed, **load)
    assert state == other
    assert one.keys() == two.keys()
    assert {key: value for key, value in one.items() if key != 'img'} == {
        key: value for key, value in two.items() if key != 'img'
    }
    assert one['img'].dtype == two['img'].dtype
    assert one['img'].shape == two['img'].shape
    return np.abs(one['img'].astype(int) - two['img'])


@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_whole_images_are_equal(save, photographs, name, reductions):
    """Where the image is not much larger than the crop: every value."""
    path = save(photographs[name])
    for seed in range(3):
        assert not _compare(path, RandomResizedCrop(192), seed).any()
    assert not _compare(path, CenterCrop((192, 220))).any()
    assert not reductions


@pytest.mark.parametrize('name', PHOTOGRAPHS)
@pytest.mark.parametrize(('size', 'reduction'), [(96, 2), (48, 4), (24, 8)])
def test_reduced_images_are_within_2_of_255(save, photographs, name, size, reduction, reductions):
    """The mean difference of each photograph, at the crops of six seeds."""
    path = save(photographs[name])
    differences = [_compare(path, RandomResizedCrop(size), seed).mean() for seed in range(6)]
    assert reductions
    assert max(reductions) <= reduction
    assert np.mean(differences) < 2


@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_rough_decoding_is_within_2_of_255(save, photographs, name):
    """The same box, other values."""
    path = save(photographs[name])
    rough = LoadAndCrop(LoadImage(), RandomResizedCrop(192), rough=True)
    for seed in range(3):
        one = rough(dict(img_path=path, rng=np.random.default_rng(seed)))['img'].astype(int)
        two = _both(path, RandomResizedCrop(192), seed)[1][0]['img']
        assert 0 < np.abs(one - two).mean() < 2


@pytest.mark.parametrize('orientation', [None, *range(1, 9)])
@pytest.mark.parametrize(('size', 'reduction'), [((40, 60), 8), ((90, 140), 4), ((500, 700), None)], ids=str)
def test_the_box_is_the_same_whatever_the_reduction_and_the_rotation(save, size, reduction, orientation, reductions):
    """On a slope of a grey level every 4 pixels, a box that was off by half a reduced pixel would show."""
    rows, columns = np.mgrid[:1003, :901]
    image = np.stack([columns / 4, rows / 4, np.full_like(rows, 100)], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path = save(image, exif=exif, quality=98, subsampling=0)
    for seed in range(3):
        (one, state), (two, other) = _both(path, RandomResizedCrop(size, scale=(0.6, 0.8)), seed)
        assert state == other
        difference = one['img'].astype(float) - two['img']
        assert np.abs(difference.mean(axis=(0, 1))).max() < 0.4  # rounding, where colours change, makes up to 0.33
        assert np.abs(difference).max() <= 2
    assert set(reductions) <= ({reduction, reduction // 2} if reduction else set())
    assert bool(reductions) == bool(reduction)


@pytest.mark.parametrize('size', [16, 60])
def test_grey_files(save, photographs, size):
    """Repeated, refused or as they are, as LoadImage does it."""
    path = save(photographs['camera'][:200, :300])
    crop = RandomResizedCrop(size)
    for options in (dict(grey='repeat'), dict(channels=1), dict(channels=None), dict(depth='stored', grey='repeat')):
        assert _compare(path, crop, **options).mean() < 2
    with pytest.raises(ValueError, match='is grey, but 3 channels'):
        LoadAndCrop(LoadImage(), crop)(dict(img_path=path, rng=np.random.default_rng(0)))


def test_other_files_go_through_both_steps(save, photographs):
    """PNG, GIF with its palette, inks, luminance of colours: equal in every value."""
    image = Image.fromarray(photographs['coffee']).resize((300, 200))
    for path in (save(image, 'a.png'), save(image.quantize(20), 'a.gif'), save(image.convert('CMYK'), 'inks.jpg')):
        assert not _compare(path, RandomResizedCrop(16)).any()
    assert not _compare(save(image), RandomResizedCrop(16), channels=1).any()


@pytest.mark.parametrize('size', [192, 16], ids=['whole', 'reduced'])
def test_damaged_files_are_unreadable_as_ever(save, photographs, size):
    """The same error, and nothing is drawn from the generator, so that a replacement follows from the sample alone."""
    path = save(photographs['coffee'])
    with open(path, 'rb') as file:
        data = file.read()
    for content in (data[: len(data) // 2], data[:300], b'', b'\xff\xd8\xff'):
        with open(path, 'wb') as file:
            file.write(content)
        messages = []
        for steps in ([LoadAndCrop(LoadImage(), RandomResizedCrop(size))], [LoadImage(), RandomResizedCrop(size)]):
            rng = np.random.default_rng(3)
            with pytest.raises(UnreadableImageError) as error:
                Compose(steps)(dict(img_path=path, rng=rng))
            messages.append(str(error.value))
            assert rng.bit_generator.state == np.random.default_rng(3).bit_generator.state
        assert messages[0] == messages[1]


def test_what_follows_the_end_of_the_image_is_no_damage(save, photographs):
    """Cameras append things."""
    path = save(photographs['coffee'])
    with open(path, 'ab') as file:
        file.write(b'trailer' * 100)
    assert not _compare(path, RandomResizedCrop(192)).any()
    assert _compare(path, RandomResizedCrop(24)).mean() < 2


def test_the_limit_of_pixels_counts_whatever_the_reduction(save, photographs, monkeypatch):
    """400x600 pixels; Pillow's own limit counts no more."""
    path = save(photographs['coffee'])
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    for limit in (400 * 600 - 1, 400 * 600):
        sample, step = dict(img_path=path, rng=np.random.default_rng(0)), LoadImage(max_pixels=limit)
        if limit == 400 * 600:
            assert LoadAndCrop(step, RandomResizedCrop(16))(sample)['img'].shape == (16, 16, 3)
            continue
        with pytest.raises(UnreadableImageError, match='400x600 pixels are more than the 239999 of max_pixels'):
            LoadAndCrop(step, RandomResizedCrop(16))(sample)


def test_parts_of_a_file_are_read(save, photographs, tmp_path):
    """`img_part` names file, offset and size; one that is cut off is unreadable."""
    with open(save(photographs['coffee']), 'rb') as file:
        data = file.read()
    whole = tmp_path / 'whole'
    whole.write_bytes(b'before' + data + b'after')
    expected = np.asarray(Image.open(io.BytesIO(data)))
    for part, size in ((whole, len(data)), (tmp_path / 'none', 5), (whole, len(data) + 100)):
        results = dict(img_path='shard/name', img_part=(str(part), 6, size))
        if (part, size) == (whole, len(data)):
            assert np.array_equal(LoadImage()(results)['img'], expected)
            continue
        with pytest.raises(UnreadableImageError, match='^shard/name: (No such file|.*cut off)'):
            LoadImage()(results)


def test_what_a_plan_knows():
    """Only the classes themselves, one right behind the other; code of others is foreign."""

    class Mine(LoadImage):
        pass

    load, crop, flip, pack = LoadImage(), RandomResizedCrop(32), RandomFlip(), PackMaskedImage()
    steps = plan([load, crop, flip, pack], fuse=True)
    assert [type(step).__name__ for step in steps.steps] == ['LoadAndCrop', 'RandomFlip']
    assert (steps.pack, steps.foreign) == (pack, False)
    assert plan([load, crop, flip, pack], fuse=False).steps == (load, crop, flip)
    assert plan([load, flip, crop], fuse=True) == ((load, flip, crop), None, False)
    mine = Mine()
    assert plan([mine, crop], fuse=True) == ((mine, crop), None, True)
    assert plan([load, SaliencyMask(score=lambda image: image[..., 0])], fuse=True).foreign
    assert plan([load, Compose([flip])], fuse=True).foreign
    assert plan([], fuse=True) == ((), None, False)
