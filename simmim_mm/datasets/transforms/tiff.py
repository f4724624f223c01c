"""Reading TIFF files that Pillow does not know: many bands, pages as bands, deep colours, numbers of all kinds."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterable

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageSequence

from simmim_mm.datasets.transforms.limits import Limits, TooLargeError
from simmim_mm.datasets.transforms.stored import ImageSettingError, Stored, turn

MAGICS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
WHITE_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 2, 3, 5, 6, 8
UNSIGNED, SEPARATE, ORIENTATION = 1, 2, 274
DEFLATE = (8, 32946)
DEFLATE_RATIO = 1032  # at most, https://zlib.net/zlib_tech.html
PIECE = 2**20
PILLOWS_GREY = (1, 2, 4, 8, 12, 16)  # bits of what it reads
ALPHA = (1, 2)  # associated and unassociated; 0 is another band


def read_tiff(data: bytes, path: str, photographic: bool, eight_bit: bool, limits: Limits) -> Stored | None:
    """Reads a TIFF file with tifffile.

    Which axis of the file is which is read from its metadata. Pages of one size without colours are bands; of pages in
    colour the first is read where a photograph is asked for.

    Args:
        data: A file's content.
        path: Its name, for messages.
        photographic: Whether a photograph is asked for.
        eight_bit: Whether 8 bits of each value suffice.
        limits: Of the size.

    Returns:
        What the file holds; None where it is one for Pillow.

    Raises:
        ImageSettingError: If pixels have more than one axis of bands, or a package is missing to unpack them.
        Exception: Whatever tifffile raises of damaged files.
    """
    try:
        tif = tifffile.TiffFile(io.BytesIO(data))
    except Exception:  # Pillow takes some files that tifffile does not, and says what is wrong with the others
        return None
    with tif:
        _check_chain_of_pages(data, tif)
        page, series = tif.pages.first, tif.series[0]
        paged = any(size > 1 for axis, size in zip(series.axes, series.shape, strict=True) if axis not in 'YXS')
        if _is_for_pillow(page, paged, photographic, eight_bit):
            return None
        source = page if paged and photographic and page.samplesperpixel >= 3 else series
        axes, shape = (
            (source.axes, source.shape) if source is page else (series.get_axes(False), series.get_shape(False))
        )
        names = [axis for axis, size in zip(axes, shape, strict=True) if axis not in 'YX' and size > 1]
        if len(names) > 1:
            raise ImageSettingError(
                f'{path} has more than one axis of bands: {dict(zip(axes, shape, strict=True))} (tifffile names them); '
                'save one image of height, width and bands a file'
            )
        if axes.count('Y') != 1 or axes.count('X') != 1:
            raise ValueError(f'its axes are {axes!r}, without a height and a width')
        limits.check_image(shape[axes.index('Y')], shape[axes.index('X')], shape, getattr(source.dtype, 'itemsize', 1))
        _check_packed(data, [page] if source is page else tif.pages, limits)
        try:
            values = source.asarray() if source is page else series.asarray(squeeze=False)
        except Exception as error:  # KeyError, ValueError or others, by what is missing
            if 'imagecodecs' not in str(error):
                raise
            values, axes = _unpack_otherwise(data, path, page, paged, str(error).strip('"'))
        keep = ['Y', 'X', *names] if names else ['Y', 'X']
        values = values.reshape([size for axis, size in zip(axes, values.shape, strict=True) if axis in keep])
        order = [axis for axis in axes if axis in keep]
        values = values.transpose([order.index(axis) for axis in keep]).reshape(
            *(values.shape[order.index(axis)] for axis in 'YX'), -1
        )
        if page.photometric == WHITE_IS_ZERO and values.dtype.kind == 'u':
            values = values.dtype.type(2**page.bitspersample - 1) - values
        elif page.photometric == WHITE_IS_ZERO and values.dtype == bool:
            values = ~values
        tag = page.tags.get(ORIENTATION)
        return Stored(turn(values, None if tag is None else tag.value), _colour_of(page, values.shape[-1], names))


def _check_packed(data: bytes, pages: Iterable[tifffile.TiffPage | tifffile.TiffFrame], limits: Limits) -> None:
    """Refuses a part that unpacks to more than the header says: tifffile unpacks it whole, and cuts it then."""
    for page in (each.aspage() for each in pages):
        if page.compression not in DEFLATE:
            continue
        expected = math.prod(page.chunks) * getattr(page.dtype, 'itemsize', 1)
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            if size * DEFLATE_RATIO <= limits.max_bytes:
                continue  # however it is packed, it stays below
            unpacker, part, found = zlib.decompressobj(), data[offset : offset + size], 0
            while part and found <= expected:
                found += len(unpacker.decompress(part, PIECE))
                part = unpacker.unconsumed_tail
            if found > expected:
                raise TooLargeError(f'a part of it unpacks to more than the {expected} bytes that its header says')


def _is_for_pillow(page: tifffile.TiffPage, paged: bool, photographic: bool, eight_bit: bool) -> bool:
    samples, bits, kind = page.samplesperpixel, page.bitspersample, page.photometric
    if kind == PALETTE:  # pages with palettes are an animation, of which Pillow looks the first up
        return True
    if page.sampleformat != UNSIGNED:
        return False
    if samples == 1:
        return not paged and bits in PILLOWS_GREY
    shallow = bits == 8 or (bits == 16 and eight_bit and photographic and page.planarconfig != SEPARATE)
    if samples == 3 and kind in (RGB, YCBCR, LAB):
        return shallow and (photographic or not paged)
    return samples == 4 and kind in (RGB, CMYK) and shallow and photographic


def _colour_of(page: tifffile.TiffPage, channels: int, names: list[str]) -> str:
    has_alpha = page.extrasamples[:1] in ((ALPHA[0],), (ALPHA[1],))
    if names == ['S'] and channels in (3, 4) and page.photometric == RGB:
        return 'rgb'
    return 'grey' if names in ([], ['S']) and channels == (1 + has_alpha) else 'bands'


def _unpack_otherwise(
    data: bytes, path: str, page: tifffile.TiffPage, paged: bool, error: str
) -> tuple[np.ndarray, str]:
    """Values that need the package imagecodecs, of a kind that Pillow or OpenCV unpack too; and their axes."""
    values, axes = None, 'YX'
    if page.bitspersample not in (1, 8, 16, 32, 64):
        values = None  # Pillow spreads 2 and 4 bits over 8, and OpenCV 12 over 16
    elif page.samplesperpixel == 1:
        with Image.open(io.BytesIO(data)) as image:
            frames = [np.array(frame) for frame in ImageSequence.Iterator(image)]
        if len({(frame.shape, frame.dtype) for frame in frames}) == 1:
            values, axes = (np.stack(frames), 'IYX') if paged else (frames[0], 'YX')
            if page.photometric == WHITE_IS_ZERO and values.dtype in (np.uint8, bool):
                values = ~values  # as it is stored: of 8 bits and less, Pillow has turned black and white round
    elif not paged and page.photometric == RGB and page.extrasamples != (ALPHA[0],) and not _turned(page):
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is not None and values.ndim == 3:
            values, axes = values[..., [2, 1, 0, 3][: values.shape[2]]], 'YXS'
            if values.shape[2] != page.samplesperpixel:
                values = None
    if values is None or values.dtype != page.dtype:
        raise ImageSettingError(
            f'{path} is packed in a way that needs another package ({error}): pip install imagecodecs'
        )
    return values, axes


def _turned(page: tifffile.TiffPage) -> bool:
    tag = page.tags.get(ORIENTATION)
    return tag is not None and tag.value != 1


def _check_chain_of_pages(data: bytes, tif: tifffile.TiffFile) -> None:
    """Follows the pages to the end: tifffile takes a file that was cut off for one with fewer pages."""
    order, big = tif.byteorder, tif.is_bigtiff
    number, count, entry = (order + 'Q', order + 'Q', 20) if big else (order + 'I', order + 'H', 12)
    at, seen = (8 if big else 4), set()
    while True:
        if at + struct.calcsize(number) > len(data):
            raise ValueError('it is cut off: a page is missing')
        (offset,) = struct.unpack_from(number, data, at)
        if offset == 0 or offset in seen:
            return
        seen.add(offset)
        if offset + struct.calcsize(count) > len(data):
            raise ValueError('it is cut off: a page is missing')
        at = offset + struct.calcsize(count) + entry * struct.unpack_from(count, data, offset)[0]
