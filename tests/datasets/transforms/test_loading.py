"""Files of all kinds become (H, W, 3) uint8 RGB, or an error that names them."""

import io
import os
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from simmim_mm.datasets.transforms import UnreadableImageError
from simmim_mm.datasets.transforms.stored import ImageSettingError


@pytest.fixture
def load(transform):
    """The array that LoadImage makes of a file, after checks that hold for every file."""

    def run(path):
        results = transform('LoadImage', grey='repeat')(dict(img_path=str(path)))
        image = results['img']
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert results['img_shape'] == results['ori_shape'] == image.shape[:2]
        assert results['img_path'] == str(path)
        return image

    return run


@pytest.fixture(scope='module')
def rgb(photographs):
    return photographs['astronaut'][100:160, 150:240].copy()


@pytest.fixture(scope='module')
def grey(photographs):
    return photographs['camera'][100:160, 150:240].copy()


@pytest.mark.parametrize(
    ('ending', 'options'),
    [
        ('png', {}),
        ('png', dict(interlace=1)),
        ('bmp', {}),
        ('webp', dict(lossless=True)),
        ('tif', {}),
        ('tiff', dict(compression='tiff_lzw')),
        ('ppm', {}),
    ],
    ids=str,
)
def test_lossless_colour_is_exact(load, tmp_path, rgb, ending, options):
    """Every pixel as it was written."""
    path = tmp_path / f'image.{ending}'
    Image.fromarray(rgb).save(path, **options)
    assert np.array_equal(load(path), rgb)


@pytest.mark.parametrize(('ending', 'options'), [('jpg', dict(quality=95, subsampling=0)), ('webp', dict(quality=95))])
def test_lossy_colour_is_close(load, tmp_path, rgb, ending, options):
    """On average within 3 grey levels of what was written, in the order RGB, and equal to a decoder outside Pillow."""
    path = tmp_path / f'image.{ending}'
    Image.fromarray(rgb).save(path, **options)
    image = load(path)
    assert np.abs(image.astype(int) - rgb).mean() < 3
    assert np.abs(image.astype(int) - cv2.imread(str(path))[..., ::-1]).mean() < 0.5


@pytest.mark.parametrize('progressive', [False, True])
def test_progressive_jpeg_is_whole(load, tmp_path, rgb, progressive):
    """All scans are read."""
    Image.fromarray(rgb).save(tmp_path / 'image.jpg', quality=95, progressive=progressive)
    assert np.abs(load(tmp_path / 'image.jpg').astype(int) - rgb).mean() < 4


@pytest.mark.parametrize('ending', ['png', 'bmp', 'tif', 'pgm'])
def test_grey_is_repeated(load, tmp_path, grey, ending):
    """Three equal channels."""
    path = tmp_path / f'image.{ending}'
    Image.fromarray(grey).save(path)
    assert np.array_equal(load(path), np.stack([grey] * 3, axis=-1))


def test_grey_jpeg_is_repeated(load, tmp_path, grey):
    """Three equal channels, close to what was written."""
    Image.fromarray(grey).save(tmp_path / 'image.jpg', quality=95)
    image = load(tmp_path / 'image.jpg')
    assert np.array_equal(image[..., 0], image[..., 1])
    assert np.array_equal(image[..., 0], image[..., 2])
    assert np.abs(image[..., 0].astype(int) - grey).mean() < 3


@pytest.mark.parametrize(
    ('ink', 'colour'),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 128), (127, 127, 127)),
        ((255, 255, 0, 0), (0, 0, 255)),
    ],
)
@pytest.mark.parametrize('ending', ['jpg', 'tif'])
def test_cmyk_becomes_rgb(load, tmp_path, ink, colour, ending):
    """(255 - ink) * (255 - black) / 255: no ink is white, cyan is without red."""
    path = tmp_path / f'image.{ending}'
    Image.new('CMYK', (16, 16), ink).save(path, **(dict(quality=100) if ending == 'jpg' else {}))
    assert np.abs(load(path).astype(int) - colour).max() <= 2


# What a viewer does with the stored array for each value of the EXIF tag Orientation (EXIF 2.3, table 6).
ORIENTATIONS = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize('orientation', ORIENTATIONS)
@pytest.mark.parametrize('ending', ['jpg', 'png', 'webp', 'tif'])
def test_the_cameras_rotation_is_applied(load, tmp_path, rgb, orientation, ending):
    """Each of the 8 orientations, as viewers show it and as Pillow's ImageOps does it."""
    path = tmp_path / f'image.{ending}'
    exif = Image.Exif()
    exif[274] = orientation
    options = dict(jpg=dict(quality=95, subsampling=0), webp=dict(lossless=True)).get(ending, {})
    Image.fromarray(rgb).save(path, exif=exif, **options)
    image = load(path)
    with Image.open(path) as stored:
        assert np.array_equal(image, np.asarray(ImageOps.exif_transpose(stored)))
    expected = ORIENTATIONS[orientation](rgb)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < (3 if ending == 'jpg' else 1e-9)


@pytest.mark.parametrize('mode', ['I;16', 'P', 'L'])
def test_the_rotation_is_applied_to_every_mode(load, tmp_path, grey, mode):
    """16-bit, palette and grey images are turned too."""
    exif = Image.Exif()
    exif[274] = 6
    if mode == 'I;16':
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey)
        if mode == 'P':
            image = image.convert('P')
    image.save(tmp_path / 'image.png', exif=exif)
    assert np.array_equal(load(tmp_path / 'image.png')[..., 0], np.rot90(grey, -1))


@pytest.mark.parametrize(
    'tag',
    [
        (256, 2, 4, b'abc\0'),  # ImageWidth as text
        (256, 9, 1, struct.pack('<i', -5)),  # a negative width
        (282, 5, 1, struct.pack('<I', 99999)),  # a resolution behind the end of the file
        (34665, 4, 1, struct.pack('<I', 99999)),  # a directory behind the end of the file
        (270, 99, 1, b'\0\0\0\0'),  # an unknown type
    ],
    ids=str,
)
def test_odd_tags_do_not_spoil_an_image(load, tmp_path, rgb, tag):
    """Cameras and editors write odd EXIF tags beside the orientation; the pixels are sound."""
    entries = sorted([tag, (274, 3, 1, struct.pack('<HH', 6, 0))])
    directory = b''.join(struct.pack('<HHI', *entry[:3]) + entry[3] for entry in entries)
    exif = b'Exif\0\0II*\0' + struct.pack('<IH', 8, len(entries)) + directory + b'\0' * 4
    Image.fromarray(rgb).save(tmp_path / 'plain.jpg', quality=95)
    data = (tmp_path / 'plain.jpg').read_bytes()
    path = tmp_path / 'image.jpg'
    path.write_bytes(data[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + data[2:])
    assert np.array_equal(load(path), np.rot90(load(tmp_path / 'plain.jpg'), -1))


@pytest.mark.parametrize('transparent', [None, 'one colour', 'many'])
def test_palettes_are_looked_up(load, tmp_path, transparent):
    """The colours of the palette, also where they are transparent."""
    image = Image.new('P', (4, 1))
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (10, 20, 30)]
    image.putpalette([value for colour in colours for value in colour])
    image.putdata([0, 1, 2, 3])
    transparency = {None: {}, 'one colour': dict(transparency=1), 'many': dict(transparency=bytes([0, 128, 255, 7]))}
    image.save(tmp_path / 'image.png', **transparency[transparent])
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # a warning an image would drown a log
        assert load(tmp_path / 'image.png')[0].tolist() == [list(colour) for colour in colours]


@pytest.mark.parametrize('alpha', [0, 128, 255])
@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_alpha_is_dropped(load, tmp_path, rgb, alpha, ending):
    """The colour stays, nothing shows through."""
    path = tmp_path / f'image.{ending}'
    Image.fromarray(np.concatenate([rgb, np.full_like(rgb[..., :1], alpha)], axis=-1)).save(path)
    assert np.array_equal(load(path), rgb)


@pytest.mark.parametrize('alpha', [0, 255])
def test_alpha_of_grey_is_dropped(load, tmp_path, grey, alpha):
    """Mode LA: the grey stays."""
    Image.merge('LA', [Image.fromarray(grey), Image.new('L', grey.shape[::-1], alpha)]).save(tmp_path / 'image.png')
    assert np.array_equal(load(tmp_path / 'image.png'), np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize('ending', ['png', 'bmp', 'tif'])
def test_one_bit_is_black_and_white(load, tmp_path, grey, ending):
    """0 and 255."""
    path = tmp_path / f'image.{ending}'
    Image.fromarray(grey > 128).save(path)
    assert np.array_equal(load(path), np.stack([np.where(grey > 128, 255, 0)] * 3, axis=-1))


# Value in 16 bits -> value in 8 bits: v / 257, to the nearest.
SIXTEEN_BITS = {
    0: 0,
    128: 0,
    129: 1,
    257: 1,
    385: 1,
    386: 2,
    32767: 127,
    32768: 128,
    65406: 254,
    65407: 255,
    65535: 255,
}


@pytest.mark.parametrize('ending', ['png', 'tif', 'pgm'])
def test_16_bit_grey_is_scaled(load, tmp_path, ending):
    """The whole range of 16 bits becomes the whole range of 8."""
    path = tmp_path / f'image.{ending}'
    assert cv2.imwrite(str(path), np.array([list(SIXTEEN_BITS)], np.uint16))
    image = load(path)
    assert image[0, :, 0].tolist() == list(SIXTEEN_BITS.values())
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize('channels', [3, 4])
@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_16_bit_colour_is_scaled(load, tmp_path, rgb, channels, ending):
    """Within one grey level of v / 257 (Pillow drops the low byte of such PNGs), in the order RGB, without alpha."""
    path = tmp_path / f'image.{ending}'
    low = np.arange(rgb.size).reshape(rgb.shape) % 256
    values = (rgb.astype(int) * 256 + low).astype(np.uint16)
    stored = values[..., ::-1]
    if channels == 4:
        stored = np.concatenate([stored, np.full_like(stored[..., :1], 30000)], axis=-1)
    assert cv2.imwrite(str(path), stored)
    image = load(path)
    assert image.shape == rgb.shape
    assert np.abs(image - values / 257).max() <= 1


def test_16_bit_grey_with_alpha_loses_its_alpha(load, tmp_path, grey):
    """A TIFF that Pillow does not know."""
    values = np.stack([grey.astype(np.uint16) * 257, np.full(grey.shape, 30000, np.uint16)], axis=-1)
    path = tmp_path / 'image.tif'
    tifffile.imwrite(path, values, photometric='minisblack', planarconfig='contig', extrasamples=['unassalpha'])
    assert np.array_equal(load(path), np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize('factor', [1, 257])
def test_planes_are_put_together(load, tmp_path, rgb, factor):
    """TIFFs that hold red, green and blue one after the other; with 16 bits Pillow makes noise of them."""
    path = tmp_path / 'image.tif'
    values = rgb.transpose(2, 0, 1) if factor == 1 else rgb.transpose(2, 0, 1).astype(np.uint16) * factor
    tifffile.imwrite(path, values, photometric='rgb', planarconfig='separate')
    assert np.array_equal(load(path), rgb)


@pytest.mark.parametrize('ending', ['gif', 'tif', 'webp', 'png'])
def test_the_first_of_several_frames_is_read(load, tmp_path, ending):
    """Animations and stacks of pages give one image."""
    path = tmp_path / f'image.{ending}'
    frames = [Image.new('RGB', (8, 6), colour) for colour in ((200, 30, 10), (0, 0, 255))]
    options = dict(lossless=True) if ending == 'webp' else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as file:
        assert file.n_frames == 2
    image = load(path)
    assert image.shape == (6, 8, 3)
    assert (image == (200, 30, 10)).all()


def test_the_ending_of_the_name_does_not_matter(load, tmp_path, rgb):
    """A PNG called .jpg is a PNG."""
    Image.fromarray(rgb).save(tmp_path / 'image.png')
    (tmp_path / 'image.png').rename(tmp_path / 'image.jpg')
    assert np.array_equal(load(tmp_path / 'image.jpg'), rgb)


def _encoded(rgb, ending):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, {'jpg': 'JPEG', 'png': 'PNG', 'webp': 'WEBP', 'gif': 'GIF', 'tif': 'TIFF'}[ending])
    return file.getvalue()


def _assert_unreadable(transform, path):
    with pytest.raises(UnreadableImageError) as error:
        transform('LoadImage', grey='repeat')(dict(img_path=str(path)))
    assert str(path) in str(error.value)
    assert len(str(error.value)) > len(str(path)) + 5  # and a reason


@pytest.mark.parametrize('share', [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize('ending', ['jpg', 'png', 'webp', 'gif', 'tif'])
def test_truncated_files_are_unreadable(transform, tmp_path, rgb, ending, share):
    """Not half an image with a grey rest."""
    data = _encoded(rgb, ending)
    path = tmp_path / f'image.{ending}'
    path.write_bytes(data[: max(1, int(len(data) * share))])
    _assert_unreadable(transform, path)


def test_truncated_16_bit_tiff_is_unreadable(transform, tmp_path, rgb):
    """Also on the way around Pillow."""
    path = tmp_path / 'image.tif'
    assert cv2.imwrite(str(path), rgb.astype(np.uint16) * 257)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    _assert_unreadable(transform, path)


@pytest.mark.parametrize('content', [b'', b'just text\n', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'\0' * 5000])
@pytest.mark.parametrize('name', ['image.jpg', 'image.png', 'image.tif'])
def test_files_that_are_no_images_are_unreadable(transform, tmp_path, name, content):
    """Zero bytes, text, headers alone."""
    path = tmp_path / name
    path.write_bytes(content)
    _assert_unreadable(transform, path)


def test_the_reason_is_for_people(transform, tmp_path):
    """No addresses of Python objects, which differ from run to run."""
    (tmp_path / 'image.jpg').write_bytes(b'\1\2\3 just bytes')
    with pytest.raises(UnreadableImageError, match='image.jpg: no image, or of a format that is not known$'):
        transform('LoadImage')(dict(img_path=str(tmp_path / 'image.jpg')))


def test_missing_files_and_folders_are_unreadable(transform, tmp_path):
    """Not a crash of another type."""
    _assert_unreadable(transform, tmp_path / 'missing.jpg')
    _assert_unreadable(transform, tmp_path)


def test_damaged_png_is_unreadable(transform, tmp_path, rgb):
    """A wrong checksum is damage."""
    data = bytearray(_encoded(rgb, 'png'))
    data[len(data) // 2] ^= 0xFF
    path = tmp_path / 'image.png'
    path.write_bytes(bytes(data))
    _assert_unreadable(transform, path)


def test_decompression_bombs_are_unreadable(transform, tmp_path):
    """A file of a few bytes that announces 900 million pixels."""

    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', 30000, 30000, 8, 2, 0, 0, 0)
    path = tmp_path / 'image.png'
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'') + chunk(b'IEND', b''))
    _assert_unreadable(transform, path)


# Small values too: as 16 bits they would come out black.
OTHER_DEPTHS = {
    'floating-point values': np.full((4, 4), 0.5, np.float32),
    'signed 8-bit integers': np.full((4, 4), 7, np.int8),
    'signed 16-bit integers': np.full((4, 4), 700, np.int16),
    'signed 32-bit integers': np.full((4, 4), 700, np.int32),
    'unsigned 32-bit integers': np.full((4, 4), 700, np.uint32),
    'unsigned 64-bit integers': np.full((4, 4), 700, np.uint64),
}


@pytest.mark.parametrize('name', OTHER_DEPTHS)
@pytest.mark.parametrize('ending', ['tif', 'npy', 'rgb.tif'])
def test_other_depths_stop_the_run(transform, tmp_path, name, ending):
    """There is no honest way to 8 bits without knowing their range; a setting is wrong, not the file."""
    values, path = OTHER_DEPTHS[name], tmp_path / f'image.{ending}'
    if ending == 'npy':
        np.save(path, values)
    elif ending == 'tif':
        tifffile.imwrite(path, values)
    else:
        tifffile.imwrite(path, np.stack([values] * 3, axis=-1), photometric='rgb')
    with pytest.raises(ImageSettingError, match=f'holds {name}.*value_range.*8 or 16 bits') as error:
        transform('LoadImage', grey='repeat')(dict(img_path=str(path)))
    assert str(path) in str(error.value)
    channels = 3 if ending == 'rgb.tif' else 1
    stored = transform('LoadImage', channels=channels, depth='stored')(dict(img_path=str(path)))['img']
    assert (stored == values.flat[0]).all()


def test_the_cause_is_kept(transform, tmp_path):
    """The decoder's own error stays in the chain, for a debugger."""
    with pytest.raises(UnreadableImageError) as error:
        transform('LoadImage')(dict(img_path=str(tmp_path / 'missing.jpg')))
    assert isinstance(error.value, OSError)
    assert isinstance(error.value.__cause__, FileNotFoundError)


def test_a_pipe_is_refused_at_once(load, tmp_path):
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / 'pipe.jpg')
    with pytest.raises(UnreadableImageError, match=r'pipe.jpg: no regular file'):
        load(tmp_path / 'pipe.jpg')


def test_white_may_be_zero(load, tmp_path, grey):
    """8- and 16-bit TIFFs whose smallest value is white."""
    for values in (255 - grey, 65535 - grey.astype(np.uint16) * 257):
        tifffile.imwrite(tmp_path / 'image.tif', values, photometric='miniswhite')
        assert np.array_equal(load(tmp_path / 'image.tif')[..., 0], grey)


def test_names_that_no_line_of_text_can_hold_are_escaped(load, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b'/new\nline\xff.png')
    with open(path, 'wb') as file:
        file.write(b'no image')
    with pytest.raises(UnreadableImageError) as error:
        load(path)
    assert error.value.path.endswith(r'/new\nline\udcff.png')
    str(error.value).encode()
