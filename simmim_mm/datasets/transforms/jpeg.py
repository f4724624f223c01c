"""JPEG files: what the header says, whole images by the fastest decoder, and crops of images at 1/2, 1/4 and 1/8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image

from simmim_mm.datasets.transforms.limits import UNLIMITED
from simmim_mm.datasets.transforms.photographs import open_photograph

try:  # the extra `jpeg`
    import simplejpeg
except ImportError:
    simplejpeg = None

MAGIC = b'\xff\xd8\xff'
END_OF_IMAGE = b'\xff\xd9'
# Baseline, extended and progressive Huffman: what every decoder knows.
FRAMES = (0xC0, 0xC1, 0xC2)
OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
START_OF_SCAN, APP1 = 0xDA, 0xE1
REDUCTIONS = (8, 4, 2)
# Pixels of the reduced box for each pixel of the crop, at least. A smaller margin is blurred visibly: on photographs at
# this one, the mean difference to the whole image is about 1 of 255, and 2 at a margin of 1.
MARGIN = 1.5


class Header(NamedTuple):
    """What a JPEG file says of itself.

    Attributes:
        height: As stored, in pixels.
        width: Likewise.
        channels: 1 or 3.
        tagged: Whether it may say how the camera was held.
    """

    height: int
    width: int
    channels: int
    tagged: bool

    def reduced(self, reduction: int) -> tuple[int, int]:
        """(height, width) at a fraction of the size, as decoders round it."""
        return -(-self.height // reduction), -(-self.width // reduction)


def read_header(data: bytes) -> Header | None:
    """Reads the frame header (ITU-T T.81, B.2.2), in microseconds.

    Args:
        data: A file's content.

    Returns:
        The header; None if this is no JPEG file of 8 bits with 1 or 3 channels and Huffman coding.
    """
    tagged = False
    for marker, start, _ in segments(data):
        if marker in FRAMES:
            if start + 6 > len(data):
                return None
            precision, channels = data[start], data[start + 5]
            height, width = (int.from_bytes(data[at : at + 2], 'big') for at in (start + 1, start + 3))
            known = precision == 8 and channels in (1, 3) and height and width
            return Header(height, width, channels, tagged) if known else None
        if marker in OTHER_FRAMES or marker == START_OF_SCAN or marker < 0xC0:
            return None
        tagged |= marker == APP1
    return None


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The segments up to the first scan (ITU-T T.81, B.1.1).

    Args:
        data: A file's content.

    Yields:
        Marker, and where in the file what the segment holds begins and ends.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
        yield marker, at + 4, end
        if marker == START_OF_SCAN:
            return
        at = end


def orientation_of(data: bytes) -> int | None:
    """EXIF's tag Orientation, as Pillow finds it."""
    with open_photograph(data, UNLIMITED) as image:
        return image.getexif().get(ExifTags.Base.Orientation)


def decode(data: bytes, header: Header, rough: bool = False) -> np.ndarray | None:
    """Decodes a whole image, as it is stored, to the values that Pillow decodes it to.

    Args:
        data: A file's content.
        header: Its header.
        rough: Whether values may be off by about 1 of 255, for a sixth of the time less; needs simplejpeg.

    Returns:
        (H, W, channels) uint8; None if the file may be damaged, and Pillow is to say whether it is readable.
    """
    image = _with_opencv(data, header) if simplejpeg is None else _with_simplejpeg(data, header, 1, rough)
    return None if image is None or image.shape != header[:3] else image


def _with_simplejpeg(data: bytes, header: Header, reduction: int, rough: bool = False) -> np.ndarray | None:
    height, width = header.reduced(reduction)
    try:
        return simplejpeg.decode_jpeg(
            data,
            'RGB' if header.channels == 3 else 'GRAY',
            fastdct=rough,
            fastupsample=rough,
            min_height=height,
            min_width=width,
            min_factor=reduction,
        )
    except ValueError:
        return None


def _with_opencv(data: bytes, header: Header) -> np.ndarray | None:
    if not data.endswith(END_OF_IMAGE):  # OpenCV fills what is missing of a truncated file with grey
        return None
    flags = cv2.IMREAD_COLOR_RGB if header.channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return image[..., None] if image is not None and image.ndim == 2 else image


def _reduced(data: bytes, header: Header, reduction: int) -> Image.Image | None:
    if simplejpeg is not None:
        values = _with_simplejpeg(data, header, reduction)
        return None if values is None else Image.fromarray(values if header.channels == 3 else values[..., 0])
    try:
        with open_photograph(data, UNLIMITED) as image:
            image.draft(image.mode, (max(1, header.width // reduction), max(1, header.height // reduction)))
            image.load()
            return image
    except Exception:  # see LoadImage: Pillow raises many types
        return None


def reduction_for(box_hw: tuple[int, int], size: tuple[int, int]) -> int:
    """How much smaller an image may be decoded for a crop.

    Args:
        box_hw: (height, width) of the box, in pixels of the whole image.
        size: (height, width) that the box is brought to.

    Returns:
        1, 2, 4 or 8.
    """
    room = min(box / (side * MARGIN) for box, side in zip(box_hw, size, strict=True))
    return next((reduction for reduction in REDUCTIONS if reduction <= room), 1)


def crop_reduced(
    data: bytes, header: Header, reduction: int, box: tuple[int, int, int, int], size: tuple[int, int]
) -> np.ndarray | None:
    """Decodes an image at a fraction of its size, which leaves out most of the work, and crops it there.

    Args:
        data: A file's content.
        header: Its header.
        reduction: 2, 4 or 8.
        box: (top, left, height, width) in pixels of the whole image, as it is stored.
        size: (height, width) of the result.

    Returns:
        (height, width, channels) uint8; None if the file may be damaged.
    """
    image = _reduced(data, header, reduction)
    if image is None or image.size != header.reduced(reduction)[::-1]:
        return None
    top, left, height, width = box
    # The box in fractions of reduced pixels: the same part of the picture, to the last of them.
    part = (left / reduction, top / reduction, (left + width) / reduction, (top + height) / reduction)
    cropped = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, box=part))
    cropped = cropped if cropped.ndim == 3 else cropped[..., None]
    return cropped if cropped.shape[2] == header.channels else None
