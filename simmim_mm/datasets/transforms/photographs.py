"""Reading what Pillow reads: JPEG, PNG, WebP, BMP, GIF, PNM, simple TIFF."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import cv2
import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from simmim_mm.datasets.transforms.limits import Limits
from simmim_mm.datasets.transforms.stored import Stored, turn

# TIFF's tags BitsPerSample, PhotometricInterpretation and PlanarConfiguration.
BITS, PHOTOMETRIC, PLANES = 258, 262, 284
GREY_NUMBERS = ('I;16', 'I;16L', 'I;16B', 'I;16N', 'I', 'F')
GREY_WITH_ALPHA = ('LA', 'La', 'PA')
# What is opened, the frequent ones first. Not among them are Pillow's readers that start other programs (PostScript) or
# take an image of another size out of the file than its header says (icons).
FORMATS = (
    *('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'PPM', 'MPO', 'JPEG2000', 'AVIF'),
    *('DIB', 'TGA', 'PCX', 'SGI', 'DDS', 'QOI'),
)


@cache
def _formats() -> tuple[str, ...]:
    """Those that this Pillow knows."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def open_photograph(data: bytes, limits: Limits) -> Iterator[Image.Image]:
    """Opens an image with Pillow, whose own limit against decompression bombs gives way to ours.

    Args:
        data: A file's content.
        limits: Of the size, which the header tells.

    Yields:
        The image, not decoded yet.

    Raises:
        PIL.UnidentifiedImageError: If it is of no format that is known.
        TooLargeError: If it is larger than is allowed.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            limits.check_image(image.height, image.width, (image.height, image.width, len(image.getbands())), 1)
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = before


def read_photograph(data: bytes, photographic: bool, eight_bit: bool, limits: Limits) -> Stored:
    """Reads an image with Pillow; of several frames the first.

    Args:
        data: A file's content.
        photographic: Whether a photograph is asked for, and inks (CMYK) are to become RGB.
        eight_bit: Whether 8 bits of each value suffice: of 16-bit colours, Pillow keeps no more.
        limits: Of the size.

    Returns:
        What the file holds.

    Raises:
        PIL.UnidentifiedImageError: If it is no image.
        TooLargeError: If it is larger than is allowed.
        Exception: Whatever Pillow's plug-ins raise of damaged files.
    """
    with open_photograph(data, limits) as image:
        tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
        if tags.get(PLANES) == 2 and max(tags.get(BITS, (8,))) > 8:
            raise ValueError('it holds 16-bit colours plane by plane, which Pillow misreads; save them interleaved')
        deep = None if eight_bit or image.format not in ('PNG', 'PPM') else _deep_colours(data, image.mode)
        image.load()  # Pillow turns TIFF files itself when it loads them, and then forgets the tag.
        # Pillow's ``exif_transpose`` writes all tags anew, and fails on odd ones.
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        values, colour = (deep, 'rgb') if deep is not None else _values(image, photographic)
        if image.mode == 'I' and image.format in ('PNG', 'PPM'):  # 16 bits in the file, 32 in Pillow's hands
            values = values.astype(np.uint16)
        if image.mode in GREY_NUMBERS and tags.get(PHOTOMETRIC) == 0 and image.mode != 'F':
            values = 65535 - values  # white is 0
        if deep is not None and image.mode == 'LA':
            values, colour = values[..., [0, 3]], 'grey'
        return Stored(turn(values if values.ndim == 3 else values[..., None], orientation), colour)


def _values(image: Image.Image, photographic: bool) -> tuple[np.ndarray, str]:
    mode = image.mode
    if mode in GREY_NUMBERS or mode == 'L':
        return np.array(image), 'grey'
    if mode == '1':
        return np.array(image.convert('L')), 'grey'
    if mode in GREY_WITH_ALPHA:
        return np.array(image if mode == 'LA' else image.convert('LA')), 'grey'
    if mode == 'CMYK' and not photographic:
        return np.array(image), 'bands'
    if mode == 'P':
        image = image.convert('RGBA').convert('RGB')  # not at once, which would warn of transparent colours
    return np.array(image if image.mode in ('RGB', 'RGBA', 'RGBX') else image.convert('RGB')), 'rgb'


def _deep_colours(data: bytes, mode: str) -> np.ndarray | None:
    """All 16 bits of the colours of a PNG or PPM, (H, W, 3 or 4) uint16 as RGB; None where there are 8."""
    if mode not in ('RGB', 'RGBA', 'LA'):
        return None
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        return None
    return values[..., [2, 1, 0, 3][: values.shape[2]]]
