"""JPEG files: headers and decoders against Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from simmim_mm.datasets.transforms import jpeg
from simmim_mm.datasets.transforms.stored import SIDEWAYS, stored_box, turn

KINDS = {
    'plain': {},
    'progressive': dict(progressive=True),
    '4:4:4': dict(subsampling=0),
    '4:2:2': dict(subsampling=1),
    'coarse': dict(quality=10),
    'fine': dict(quality=100),
    'colours as they are': dict(keep_rgb=True),
    'restart markers': dict(restart_marker_rows=1),
    'a comment and a profile': dict(comment=b'x' * 70, icc_profile=b'\xff\xc0' * 40_000),
}


def encode(image, **options):
    out = io.BytesIO()
    Image.fromarray(image).save(out, 'JPEG', **{'quality': 90, **options})
    return out.getvalue()


@pytest.fixture(params=['simplejpeg', 'opencv'])
def decoder(request, monkeypatch):
    """With the extra `jpeg`, and without."""
    if request.param == 'opencv':
        monkeypatch.setattr(jpeg, 'simplejpeg', None)
    assert (jpeg.simplejpeg is None) == (request.param == 'opencv')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('hw', [(64, 80), (61, 75), (1, 9)], ids=str)
def test_headers_and_pixels_are_pillows(decoder, photographs, kind, hw):
    """Height, width and channels; and every value, for odd sizes and all that encoders do."""
    image = np.ascontiguousarray(photographs['coffee'][150 : 150 + hw[0], 200 : 200 + hw[1]])
    data = encode(image, **KINDS[kind])
    header = jpeg.read_header(data)
    assert header == (*hw, 3, False)
    assert np.array_equal(jpeg.decode(data, header), np.asarray(Image.open(io.BytesIO(data))))


def test_grey_files(decoder, photographs):
    """One channel."""
    data = encode(photographs['camera'][:50, :70])
    assert jpeg.read_header(data) == (50, 70, 1, False)
    decoded = jpeg.decode(data, jpeg.read_header(data))
    assert decoded.shape == (50, 70, 1)
    assert np.array_equal(decoded[..., 0], np.asarray(Image.open(io.BytesIO(data))))


def test_what_is_left_to_pillow(photographs):
    """Inks, other formats, arithmetic coding, 12 bits, heights that come later, and headers that are cut off."""
    image = photographs['coffee'][:40, :40]
    inks = io.BytesIO()
    Image.fromarray(image).convert('CMYK').save(inks, 'JPEG')
    assert jpeg.read_header(inks.getvalue()) is None
    data = encode(image)
    frame = data.index(b'\xff\xc0')
    assert jpeg.read_header(data) is not None
    for at, value in ((frame + 1, 0xC9), (frame + 4, 12), (frame + 6, 0)):
        changed = bytearray(data)
        changed[at] = value
        assert jpeg.read_header(bytes(changed)) is None
    for end in range(frame + 9):
        assert jpeg.read_header(data[:end]) is None
    assert jpeg.read_header(b'') is None


def test_truncated_files_are_left_to_pillow(decoder, photographs):
    """Which then refuses them: at no place does a decoder fill in what is missing."""
    data = encode(photographs['coffee'][:120, :160], progressive=False)
    header = jpeg.read_header(data)
    for end in np.linspace(data.index(b'\xff\xda') + 20, len(data) - 3, 25).astype(int):
        assert jpeg.decode(data[:end], header) is None
        for reduction in (2, 4, 8):
            assert jpeg.crop_reduced(data[:end], header, reduction, (0, 0, 120, 160), (10, 10)) is None


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('reduction', [2, 4, 8])
def test_reduced_images_are_pillows(decoder, photographs, kind, reduction):
    """A box of the whole picture, at the size that it has then: every value, for sides that do not divide."""
    data = encode(np.ascontiguousarray(photographs['coffee'][:333, :501]), **KINDS[kind])
    height, width = -(-333 // reduction), -(-501 // reduction)
    with Image.open(io.BytesIO(data)) as image:
        image.draft('RGB', (501 // reduction, 333 // reduction))
        assert image.size == (width, height)
        expected = np.asarray(image.resize((width, height), box=(0, 0, 501 / reduction, 333 / reduction), resample=2))
    cropped = jpeg.crop_reduced(data, jpeg.read_header(data), reduction, (0, 0, 333, 501), (height, width))
    assert np.array_equal(cropped, expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_rotations_are_pillows(photographs, orientation):
    """The tag is found, and said to be there; boxes of the turned image are found in the stored one."""
    image = photographs['coffee'][:40, :60]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, exif=exif)
    assert jpeg.read_header(data).tagged
    assert jpeg.orientation_of(data) == orientation
    upright = turn(image, orientation)
    top, left, height, width = 3, 7, 11, 20
    box = stored_box((top, left, height, width), upright.shape[:2], orientation)
    part = image[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]
    assert np.array_equal(turn(part, orientation), upright[top : top + height, left : left + width])
    assert (upright.shape[:2] != image.shape[:2]) == (orientation in SIDEWAYS)


@pytest.mark.parametrize(
    ('box_hw', 'size', 'expected'),
    [
        ((375, 500), (192, 192), 1),
        ((575, 2000), (192, 192), 1),
        ((576, 576), (192, 192), 2),  # 576 / (1.5 * 192) = 2
        ((1200, 1200), (192, 192), 4),
        ((2304, 2400), (192, 192), 8),
        ((2304, 2400), (192, 384), 4),
        ((100, 100), (200, 200), 1),
    ],
)
def test_reductions_leave_a_margin(box_hw, size, expected):
    """At least one and a half pixels for each pixel of the result, along both axes; worked by hand."""
    assert jpeg.reduction_for(box_hw, size) == expected
