"""Maps: read from every kind of file, and cropped and flipped with the image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from simmim_mm.datasets.transforms.maps import resize_map

LABELS = np.arange(24).reshape(4, 6)


@pytest.fixture
def write(tmp_path):
    """Writes an array as a file beside an image, and returns the path of the image."""

    def make(values: np.ndarray, ending: str, **arrays) -> str:
        path = tmp_path / f'image{ending}'
        if ending == '.npy':
            np.save(path, values)
        elif ending == '.npz':
            np.savez(path, **(arrays or {'anything': values}))
        else:
            Image.fromarray(values).save(path)
        return str(tmp_path / 'image.jpg')

    return make


def load(transform, img_path, image_hw=(4, 6), **kwargs):
    results = {'img': np.zeros((*image_hw, 3), np.uint8), 'img_path': img_path}
    return transform('LoadMap', **kwargs)(results)['maps']


@pytest.mark.parametrize(
    ('values', 'ending'),
    [
        (LABELS.astype(np.uint8), '.png'),
        (LABELS.astype(np.uint8), '.bmp'),
        ((LABELS * 1000).astype(np.uint16), '.png'),  # Cityscapes' instances
        ((LABELS * 100000).astype(np.int32), '.tif'),
        (LABELS.astype(np.uint8), '.npy'),
        (LABELS * 10**9, '.npy'),
        (LABELS > 3, '.npy'),
        (LABELS.astype(np.float32), '.npy'),
        (LABELS, '.npz'),
    ],
)
def test_label_files(transform, write, values, ending):
    """Their numbers, as int64."""
    labels = load(transform, write(values, ending), suffix=ending)['labels']
    assert labels.dtype == np.int64
    assert np.array_equal(labels, values)


def test_palettes_are_indices_and_colours_are_numbers(transform, write, tmp_path):
    """COCO's panoptic files hold R + 256 G + 65536 B; VOC's hold indices into a palette."""
    colours = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    labels = load(transform, write(colours, '.png'))['labels']
    for i in range(4):
        for j in range(6):
            red, green, blue = (int(value) for value in colours[i, j])
            assert labels[i, j] == red + green * 256 + blue * 65536
    picture = Image.fromarray(LABELS.astype(np.uint8)).convert('P')
    picture.putpalette(list(range(255, -1, -1)) * 3)
    picture.save(tmp_path / 'image_palette.png')
    assert np.array_equal(load(transform, str(tmp_path / 'image.jpg'), suffix='_palette.png')['labels'], LABELS)


def test_score_files(transform, write):
    """Floating point, as float32; of several arrays the one with the key's name."""
    scores = np.random.default_rng(0).random((4, 6))
    path = write(scores, '.npz', saliency=scores, other=LABELS)
    loaded = load(transform, path, key='saliency', suffix='.npz', kind='scores')['saliency']
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, scores, rtol=1e-6)
    with pytest.raises(ValueError, match='arrays saliency, other, and none named depth'):
        load(transform, path, key='depth', suffix='.npz')


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ({}, '/data/a/1.png'),
        (dict(suffix='_map.npy'), '/data/a/1_map.npy'),
        (dict(folder='/maps'), '/maps/1.png'),
        (dict(folder='/maps', image_root='/data', suffix='.npz'), '/maps/a/1.npz'),
    ],
)
def test_where_maps_are(transform, arguments, expected):
    assert transform('LoadMap', **arguments).path_of('/data/a/1.jpg') == expected


def test_several_maps_and_other_sizes(transform, write):
    """Maps add up; with resize=True labels go to the nearest and scores are interpolated."""
    path = write(LABELS.astype(np.uint8), '.png')
    write(LABELS / 24, '.npy')
    results = {'img': np.zeros((8, 12, 3), np.uint8), 'img_path': path}
    results = transform('LoadMap', resize=True)(results)
    results = transform('LoadMap', resize=True, key='depth', kind='scores', suffix='.npy')(results)
    assert np.array_equal(results['maps']['labels'], LABELS.repeat(2, axis=0).repeat(2, axis=1))
    assert results['maps']['depth'].shape == (8, 12)
    assert len(np.unique(results['maps']['depth'])) > 24


def test_what_does_not_fit_is_refused(transform, write, tmp_path):
    """The message names the file and what is wrong."""
    path = write(LABELS.astype(np.uint8), '.png')
    with pytest.raises(FileNotFoundError, match=r'image_x\.png.*suffix of LoadMap'):
        load(transform, path, suffix='_x.png')
    with pytest.raises(ValueError, match=r"image\.png' has the shape \(4, 6\), its image \(5, 6\)"):
        load(transform, path, image_hw=(5, 6))
    write(LABELS + 0.5, '.npy')
    with pytest.raises(ValueError, match="holds fractions.*kind='scores'"):
        load(transform, path, suffix='.npy')
    write(np.where(LABELS == 3, np.nan, 1.0), '.npy')
    with pytest.raises(ValueError, match='not finite'):
        load(transform, path, suffix='.npy', kind='scores')
    write(np.zeros((4, 6, 3)), '.npy')
    with pytest.raises(ValueError, match=r'shape \(4, 6, 3\)'):
        load(transform, path, suffix='.npy')
    write(np.array([['a']]), '.npy')
    with pytest.raises(ValueError, match=r'expected \(H, W\) numbers'):
        load(transform, path, suffix='.npy')
    write(np.where(LABELS == 3, np.nan, 1.0), '.npy')
    with pytest.raises(ValueError, match='holds 1 values that are not finite.*background of SemanticMask'):
        load(transform, path, suffix='.npy')
    for kind in ('labels', 'scores'):
        write(np.ones((4, 6), complex), '.npy')
        with pytest.raises(ValueError, match=r'type complex128; expected \(H, W\) numbers, whole or real'):
            load(transform, path, suffix='.npy', kind=kind)
    for large in (np.full((4, 6), 2**64 - 1, np.uint64), np.full((4, 6), 1e300)):
        write(large, '.npy')
        with pytest.raises(ValueError, match='beyond those of 64 bits'):
            load(transform, path, suffix='.npy')
    for ending in ('.png', '.npy', '.npz', '.tif'):
        (tmp_path / f'image{ending}').write_bytes(b'nothing')
        with pytest.raises(ValueError, match='cannot be read as labels'):
            load(transform, path, suffix=ending)
    with pytest.raises(ValueError, match='behind dict'):
        transform('LoadMap')({'img_path': path})
    with pytest.raises(ValueError, match="outside image_root='elsewhere'"):
        load(transform, path, folder='maps', image_root='elsewhere')


@pytest.mark.parametrize(
    'arguments',
    [
        dict(key=''), dict(key=3), dict(suffix=None), dict(suffix=''), dict(folder=3), dict(image_root=4, folder='a'),
        dict(image_root='a'), dict(kind='label'), dict(kind=None), dict(resize='yes'), dict(resize=1),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_options_are_refused(transform, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        transform('LoadMap', **arguments)


@pytest.mark.parametrize('size', [(3, 5), (10, 7), (40, 30), (41, 90), (1, 1)])
@pytest.mark.parametrize('dtype', [np.uint8, np.int64, bool])
def test_labels_are_resized_to_the_nearest_as_pillow_does(size, dtype):
    labels = np.random.default_rng(0).integers(0, 2 if dtype is bool else 200, (20, 30)).astype(dtype)
    resized = resize_map(labels, size)
    expected = np.asarray(Image.fromarray(labels.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST))
    assert resized.dtype == labels.dtype
    assert np.array_equal(resized, expected.astype(dtype))


@pytest.mark.parametrize('size', [(3, 5), (10, 7), (41, 90)])
def test_scores_are_resized_as_pillow_does(size):
    """Bilinear with antialiasing on floating point, to 1e-5."""
    scores = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    expected = np.asarray(Image.fromarray(scores).resize(size[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resize_map(scores, size), expected, atol=1e-5)


@pytest.mark.parametrize('name', ['RandomResizedCrop', 'CenterCrop'])
@pytest.mark.parametrize('flip', [0, 1])
def test_maps_stay_on_their_image(transform, photographs, name, flip):
    """A score map that is a channel of the image still is, to a grey level; labels are those of the nearest pixel."""
    image = photographs['coffee']
    rows, columns = np.indices(image.shape[:2])
    maps = {'scores': image[..., 1].astype(np.float32), 'rows': rows, 'columns': columns}
    for seed in range(5):
        results = {'img': image, 'maps': dict(maps), 'rng': np.random.default_rng(seed)}
        crop, mirror = transform(name, size=(96, 160)), transform('RandomFlip', prob=flip)
        out = mirror(crop(results))
        assert all(values.shape == (96, 160) for values in out['maps'].values())
        assert np.abs(out['maps']['scores'] - out['img'][..., 1]).max() < 1.01
        # Rows and columns rise evenly (or fall, mirrored), and stay within a pixel of the middle of what they show.
        steps = np.diff(out['maps']['columns'][0])
        assert (steps <= 0).all() if flip else (steps >= 0).all()
        assert (np.diff(out['maps']['rows'][:, 0]) >= 0).all()
        if name == 'RandomResizedCrop':
            box = crop._draw_box(*image.shape[:2], np.random.default_rng(seed))
            top, left, height, width = box
            expected = Image.fromarray(columns[top : top + height, left : left + width].astype(np.int32))
            expected = np.asarray(expected.resize((160, 96), Image.Resampling.NEAREST))
            assert np.array_equal(out['maps']['columns'], expected[:, ::-1] if flip else expected)
    assert np.array_equal(maps['rows'], rows)  # what went in is as it was


def test_images_without_maps_get_none(transform):
    for name, arguments in (('RandomResizedCrop', dict(size=8)), ('CenterCrop', dict(size=8)), ('RandomFlip', {})):
        results = {'img': np.zeros((9, 9, 3), np.uint8), 'rng': np.random.default_rng(0)}
        assert 'maps' not in transform(name, **arguments)(results)
