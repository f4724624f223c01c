"""Files of any number of bands and any depth, against the arrays that tifffile, OpenCV and NumPy wrote."""

import struct
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from simmim_mm.datasets.transforms import UnreadableImageError
from simmim_mm.datasets.transforms.stored import ImageSettingError

BANDS = np.random.default_rng(0).integers(0, 65536, (13, 10, 16)).astype(np.uint16)


@pytest.fixture
def load(transform, tmp_path):
    """Reads a file of the folder; the image is uint8 or float32 and contiguous."""

    def run(name, **options):
        results = transform('LoadImage', **options)(dict(img_path=str(tmp_path / name)))
        image = results['img']
        assert image.dtype in (np.uint8, np.float32)
        assert image.flags.c_contiguous
        assert results['img_shape'] == results['ori_shape'] == image.shape[:2]
        return image

    return run


def write_pages(path, bands, **options):
    with tifffile.TiffWriter(path, **options) as file:
        for band in bands:
            file.write(band, photometric='minisblack', metadata=None)


def write_pillow_pages(path, bands):
    """LZW, which tifffile needs another package for."""
    pages = [Image.fromarray(band) for band in bands]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression='tiff_lzw')


INTERLEAVED = dict(photometric='minisblack', planarconfig='contig')
WRITERS = {
    'pages': write_pages,
    'pages, BigTIFF': lambda path, bands: write_pages(path, bands, bigtiff=True),
    'pages, big-endian': lambda path, bands: write_pages(path, bands, byteorder='>'),
    'pages, LZW': write_pillow_pages,
    'described pages': lambda path, bands: tifffile.imwrite(path, bands, photometric='minisblack'),
    'planes': lambda path, bands: tifffile.imwrite(path, bands, photometric='minisblack', planarconfig='separate'),
    'interleaved': lambda path, bands: tifffile.imwrite(path, np.moveaxis(bands, 0, -1), **INTERLEAVED),
    'tiles': lambda path, bands: tifffile.imwrite(path, np.moveaxis(bands, 0, -1), tile=(16, 16), **INTERLEAVED),
    'deflate': lambda path, bands: tifffile.imwrite(path, bands, photometric='minisblack', compression='deflate'),
    'ImageJ': lambda path, bands: tifffile.imwrite(path, bands, imagej=True, metadata={'axes': 'CYX'}),
}


@pytest.mark.parametrize('layout', WRITERS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_bands_of_tiff_files_are_exact(load, tmp_path, layout, dtype):
    """However the bands are laid out: every value, as (H, W, 13)."""
    bands = BANDS.astype(dtype)
    WRITERS[layout](tmp_path / 'image.tif', bands)
    image = load('image.tif', channels=13, depth='stored')
    assert image.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    assert np.array_equal(image, np.moveaxis(bands, 0, -1))
    assert np.array_equal(load('image.tif', channels=None, depth='stored'), image)


@pytest.mark.parametrize('layout', WRITERS)
def test_8_bits_of_16_bit_bands(load, tmp_path, layout):
    """v / 257, to the nearest, by NumPy's own rounding."""
    WRITERS[layout](tmp_path / 'image.tif', BANDS)
    expected = np.rint(np.moveaxis(BANDS, 0, -1) / 257).astype(np.uint8)
    assert np.array_equal(load('image.tif', channels=13), expected)


@pytest.mark.parametrize('dtype', [np.int16, np.int32, np.uint32, np.float64])
@pytest.mark.parametrize('channels', [1, 2, 5])
def test_all_kinds_of_numbers_are_read(load, tmp_path, dtype, channels):
    """As float32 of the same value, one band or many."""
    bands = (BANDS[:channels].astype(np.int64) - 32768).astype(dtype) if dtype != np.uint32 else BANDS[:channels]
    bands = bands.astype(dtype)
    tifffile.imwrite(tmp_path / 'image.tif', bands, photometric='minisblack')
    assert np.array_equal(
        load('image.tif', channels=channels, depth='stored'), np.moveaxis(bands, 0, -1).astype(np.float32)
    )


@pytest.mark.parametrize('ending', ['png', 'tif', 'ppm'])
def test_16_bit_colours_keep_all_bits(load, tmp_path, ending):
    """Pillow would drop the low byte; OpenCV wrote them."""
    colours = np.moveaxis(BANDS[:3], 0, -1).copy()
    assert cv2.imwrite(str(tmp_path / f'image.{ending}'), colours[..., ::-1])
    assert np.array_equal(load(f'image.{ending}', depth='stored'), colours)


@pytest.mark.parametrize('ending', ['png', 'tif', 'pgm'])
def test_16_bit_grey_keeps_all_bits(load, tmp_path, ending):
    assert cv2.imwrite(str(tmp_path / f'image.{ending}'), BANDS[0])
    assert np.array_equal(load(f'image.{ending}', channels=1, depth='stored')[..., 0], BANDS[0])


def test_four_channels_are_as_stored(load, tmp_path):
    """A fourth band is not an alpha channel to be applied or dropped, unless 3 are asked for."""
    values = BANDS[:4].astype(np.uint8)
    interleaved = np.moveaxis(values, 0, -1).copy()
    Image.fromarray(interleaved).save(tmp_path / 'image.png')
    for name, extra in (('alpha', 'unassalpha'), ('associated', 'assocalpha'), ('infrared', 'unspecified')):
        tifffile.imwrite(tmp_path / f'{name}.tif', interleaved, photometric='rgb', extrasamples=[extra])
        assert np.array_equal(load(f'{name}.tif', channels=4), interleaved)
        assert np.array_equal(load(f'{name}.tif', channels=4, depth='stored'), interleaved)
    assert np.array_equal(load('image.png', channels=4), interleaved)
    assert np.array_equal(load('alpha.tif'), interleaved[..., :3])
    assert np.array_equal(load('infrared.tif'), interleaved[..., :3])


def test_colours_become_luminance_when_grey_is_asked_for(load, tmp_path, photographs):
    """As Pillow's mode L; of 16 bits within a grey level of it."""
    rgb = photographs['astronaut'][100:160, 150:240]
    Image.fromarray(rgb).save(tmp_path / 'image.png')
    expected = np.asarray(Image.fromarray(rgb).convert('L'))
    assert np.array_equal(load('image.png', channels=1)[..., 0], expected)
    assert cv2.imwrite(str(tmp_path / 'deep.png'), rgb[..., ::-1].astype(np.uint16) * 257)
    deep = load('deep.png', channels=1, depth='stored')[..., 0]
    assert np.abs(deep / 257 - expected).max() < 0.51


def test_grey_is_not_repeated_unless_asked(load, tmp_path, photographs):
    """The message names both ways out."""
    Image.fromarray(photographs['camera']).save(tmp_path / 'image.png')
    with pytest.raises(ValueError, match=r'image.png is grey, but 3 channels') as error:
        load('image.png')
    assert not isinstance(error.value, UnreadableImageError)  # one such file stops the run
    assert 'model.data_preprocessor.channels=1' in str(error.value)
    assert "grey='repeat'" in str(error.value)
    assert load('image.png', channels=1).shape == (512, 512, 1)
    assert load('image.png', grey='repeat').shape == (512, 512, 3)


@pytest.mark.parametrize('asked', [1, 3, 4, 12])
def test_another_number_of_bands_stops_the_run(load, tmp_path, asked):
    """File, found, asked for, and the setting to change."""
    tifffile.imwrite(tmp_path / 'image.tif', BANDS, photometric='minisblack')
    np.save(tmp_path / 'image.npy', np.moveaxis(BANDS, 0, -1))
    with pytest.raises(ValueError, match=rf'image.tif holds 13 channels of 10x16 .* but {asked} are') as error:
        load('image.tif', channels=asked)
    assert 'model.data_preprocessor.channels=13' in str(error.value)
    with pytest.raises(ValueError, match=r'image.npy is an array of shape \(10, 16, 13\).*channel_axis'):
        load('image.npy', channels=asked)


def test_two_axes_of_bands_are_not_guessed(load, tmp_path):
    """Times and channels of a microscope's stack."""
    stack = np.zeros((3, 4, 8, 8), np.uint16)
    tifffile.imwrite(tmp_path / 'image.tif', stack, imagej=True, metadata={'axes': 'TCYX'})
    with pytest.raises(ValueError, match=r"more than one axis of bands: \{'T': 3.*'C': 4"):
        load('image.tif', channels=12)


@pytest.mark.parametrize('axis', [0, 2])
@pytest.mark.parametrize('dtype', [np.uint8, '>u2', np.float32])
def test_arrays(load, tmp_path, axis, dtype):
    """(C, H, W) and (H, W, C), by the number of channels or by the option; (H, W) is grey."""
    bands = BANDS.astype(dtype)
    np.save(tmp_path / 'image.npy', bands if axis == 0 else np.moveaxis(bands, 0, -1))
    expected = np.moveaxis(bands, 0, -1)
    assert np.array_equal(load('image.npy', channels=13, depth='stored'), expected)
    where = 'first' if axis == 0 else 'last'
    assert np.array_equal(load('image.npy', channels=None, channel_axis=where, depth='stored'), expected)
    np.save(tmp_path / 'grey.npy', bands[0])
    assert np.array_equal(load('grey.npy', channels=1, depth='stored')[..., 0], bands[0])


def test_arrays_whose_axes_could_be_either_are_refused(load, tmp_path):
    np.save(tmp_path / 'image.npy', np.zeros((3, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="channel_axis='first' or 'last'"):
        load('image.npy')
    assert load('image.npy', channel_axis='first').shape == (5, 3, 3)


@pytest.mark.parametrize(
    ('array', 'words'),
    [
        (np.array([{}], dtype=object), 'Object arrays cannot be loaded'),
        (np.zeros((4, 4), complex), 'array of complex128'),
        (np.zeros(4), r'shape \(4,\)'),
        (np.zeros((0, 4)), 'empty array'),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), '2 of its 4 values are not finite'),
    ],
    ids=['objects', 'complex', 'line', 'empty', 'nan'],
)
def test_arrays_that_are_no_images_are_unreadable(load, tmp_path, array, words):
    np.save(tmp_path / 'image.npy', array)
    with pytest.raises(UnreadableImageError, match=f'image.npy: .*{words}'):
        load('image.npy', channels=1, depth='stored')


def test_no_data_gets_the_value_that_is_asked_for(load, tmp_path):
    """NaN and infinity alone."""
    np.save(tmp_path / 'image.npy', np.array([[1.0, np.nan], [-np.inf, 2.0]]))
    assert load('image.npy', channels=1, depth='stored', nan_value=-7).flatten().tolist() == [1, -7, -7, 2]


@pytest.mark.parametrize('share', [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize('layout', WRITERS)
def test_cut_files_are_unreadable(load, tmp_path, layout, share):
    """Not an image with fewer bands, or with black ones."""
    path = tmp_path / 'image.tif'
    WRITERS[layout](path, BANDS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableImageError):
        load('image.tif', channels=13)


def test_a_cut_array_is_unreadable(load, tmp_path):
    np.save(tmp_path / 'image.npy', BANDS)
    (tmp_path / 'image.npy').write_bytes((tmp_path / 'image.npy').read_bytes()[:900])
    with pytest.raises(UnreadableImageError):
        load('image.npy', channels=13)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_orientation_of_bands_is_applied(load, tmp_path, orientation):
    """As Pillow turns one band of them, saved as PNG."""
    tag = (274, 'H', 1, orientation, True)
    tifffile.imwrite(tmp_path / 'bands.tif', np.moveaxis(BANDS[:5], 0, -1), extratags=[tag], **INTERLEAVED)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(BANDS[2].astype(np.uint8)).save(tmp_path / 'one.png', exif=exif)
    image = load('bands.tif', channels=5, depth='stored')
    with Image.open(tmp_path / 'one.png') as file:
        expected = np.asarray(ImageOps.exif_transpose(file))
    assert np.array_equal(image[..., 2].astype(np.uint16).astype(np.uint8), expected)


def test_white_may_be_zero_in_bands(load, tmp_path):
    tifffile.imwrite(tmp_path / 'image.tif', BANDS, photometric='miniswhite')
    assert np.array_equal(load('image.tif', channels=13, depth='stored'), 65535 - np.moveaxis(BANDS, 0, -1).astype(int))


@pytest.mark.parametrize('compression', [None, 'tiff_lzw'])
@pytest.mark.parametrize('dtype', [bool, np.uint8])
@pytest.mark.parametrize('pages', [1, 2])
def test_white_may_be_zero_in_pages_of_few_bits(load, tmp_path, compression, dtype, pages):
    """One page goes through Pillow and several do not: either way 0 is white, as Pillow shows it."""
    bands = [band > 30000 if dtype is bool else band.astype(np.uint8) for band in BANDS[:pages]]
    images = [Image.fromarray(band) for band in bands]
    tags = {262: 0}
    images[0].save(
        tmp_path / 'image.tif', save_all=True, append_images=images[1:], compression=compression, tiffinfo=tags
    )
    with tifffile.TiffFile(tmp_path / 'image.tif') as file:
        assert [page.photometric for page in file.pages] == [0] * pages
    with Image.open(tmp_path / 'image.tif') as file:
        expected = []
        for number in range(pages):
            file.seek(number)
            expected.append(np.array(file).astype(np.uint8) * (255 if dtype is bool else 1))
    assert np.array_equal(load('image.tif', channels=pages), np.stack(expected, axis=-1))


@pytest.mark.parametrize('channels', [1, 3, None])
def test_palettes_of_pages_are_looked_up(load, tmp_path, channels):
    """Pages with palettes are frames of an animation: the colours of the first, and no bands of indices."""
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    pages = [Image.fromarray(band.astype(np.uint8)).convert('P') for band in BANDS[:3]]
    for page in pages:
        page.putpalette(palette.tobytes())
    pages[0].save(tmp_path / 'image.tif', save_all=True, append_images=pages[1:])
    colours = palette[BANDS[0].astype(np.uint8)]
    expected = np.asarray(Image.fromarray(colours).convert('L'))[..., None] if channels == 1 else colours
    assert np.array_equal(load('image.tif', channels=channels), expected)


def write_bits(path, bits, samples, pages):
    """An uncompressed little-endian TIFF of 8x8 zeros, by its specification (TIFF 6.0)."""
    data, link = bytearray(struct.pack('<2sHI', b'II', 42, 0)), 4
    for _ in range(pages):
        pixels = len(data)
        data += bytes(8 * bits * samples)
        depths = len(data)
        data += struct.pack(f'<{samples}H', *[bits] * samples) + bytes(2 * samples % 4)
        struct.pack_into('<I', data, link, len(data))
        depth = bits if samples == 1 else depths
        tags = [(256, 1, 8), (257, 1, 8), (258, samples, depth), (259, 1, 1), (262, 1, 2 if samples == 3 else 1)]
        tags += [(273, 1, pixels), (277, 1, samples), (278, 1, 8), (279, 1, 8 * bits * samples)]
        data += struct.pack('<H', len(tags))
        for tag, count, value in tags:
            data += struct.pack('<HHII', tag, 4 if tag in (273, 279) else 3, count, value)
        link = len(data)
        data += bytes(4)
    path.write_bytes(data)


@pytest.mark.skipif(find_spec('imagecodecs') is not None, reason='needs that imagecodecs is not installed')
@pytest.mark.parametrize(
    ('bits', 'samples', 'pages'), [(2, 1, 2), (4, 1, 2), (6, 1, 1), (12, 1, 2), (14, 1, 1), (12, 3, 1), (4, 3, 1)]
)
def test_odd_numbers_of_bits_need_a_package(load, tmp_path, bits, samples, pages):
    """A sound file: the run stops and says what to install, instead of skipping all of them."""
    write_bits(tmp_path / 'image.tif', bits, samples, pages)
    with pytest.raises(ImageSettingError, match=r'image\.tif is packed .*pip install imagecodecs'):
        load('image.tif', channels=max(samples, pages))


@pytest.mark.parametrize(
    'options',
    [
        dict(channels=0),
        dict(channels=True),
        dict(channels='3'),
        dict(channels=3.0),
        dict(grey='yes'),
        dict(depth=16),
        dict(channel_axis=0),
        dict(nan_value=float('nan')),
        dict(nan_value='0'),
    ],
    ids=str,
)
def test_wrong_options_are_refused(transform, options):
    """With the value that was given."""
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f'{name}={value!r} of LoadImage'):
        transform('LoadImage', **options)


@pytest.mark.parametrize('size', [(96, 160), (7, 5)])
def test_crops_of_float_images(transform, size):
    """Resized band by band as Pillow resizes 32-bit floats, with antialiasing; non-square."""
    image = np.moveaxis(BANDS, 0, -1).astype(np.float32)
    out = transform('CenterCrop', size=size)(dict(img=image))['img']
    assert out.dtype == np.float32
    assert out.shape == (*size, 13)
    scale = min(10 / size[0], 16 / size[1])
    height, width = round(size[0] * scale), round(size[1] * scale)
    top, left = (10 - height) // 2, (16 - width) // 2
    for band in (0, 12):
        crop = Image.fromarray(image[top : top + height, left : left + width, band])
        expected = np.asarray(crop.resize(size[::-1], Image.Resampling.BILINEAR))
        assert np.abs(out[..., band] - expected).max() < 1
