"""What a file says of its image: format, kind of colour, bits a value."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from simmim_mm.datasets.transforms import arrays, tiff

# Pillow's modes, by what a person calls them.
COLOURS = {
    '1': 'grey', 'L': 'grey', 'I': 'grey', 'F': 'grey', 'LA': 'grey + alpha', 'La': 'grey + alpha', 'P': 'palette',
    'PA': 'palette', 'RGB': 'RGB', 'RGBA': 'RGB + alpha', 'RGBa': 'RGB + alpha', 'RGBX': 'RGB + alpha', 'CMYK': 'CMYK',
    'YCbCr': 'YCbCr', 'LAB': 'Lab', 'HSV': 'HSV',
}  # fmt: skip
BITS = {'1': 1, 'I': 32, 'F': 32}
PNG = b'\x89PNG\r\n\x1a\n'
# Where IHDR, which is always the first chunk, has the bit depth.
PNG_DEPTH = 24


class FileFacts(NamedTuple):
    """What a file holds, as it is stored, before the loader makes the channels and the depth of training of it.

    Attributes:
        format: Pillow's name of the format, such as ``'JPEG'``, or ``'NPY'``.
        colour: ``'grey'``, ``'RGB'``, ``'RGB + alpha'``, ``'CMYK'``, ``'palette'``, ``'13 bands'`` and so on.
        bits: Of one value.
    """

    format: str
    colour: str
    bits: int


def file_facts(data: bytes) -> FileFacts | None:
    """Reads the header of an image file.

    Args:
        data: A file's content.

    Returns:
        What it says; None if it is damaged or of a format that is not known.
    """
    try:
        if data.startswith(arrays.MAGIC):
            return _of_array(np.load(io.BytesIO(data), allow_pickle=False))
        if data.startswith(tiff.MAGICS):
            return _of_tiff(data)
        with Image.open(io.BytesIO(data)) as image:
            mode, name = image.mode, image.format or 'unknown'
        bits = data[PNG_DEPTH] if data.startswith(PNG) else 16 if mode.startswith('I;16') else BITS.get(mode, 8)
        return FileFacts(name, 'grey' if mode.startswith('I;') else COLOURS.get(mode, mode), bits)
    except Exception:  # see LoadImage: Pillow and tifffile raise many types
        return None


def _of_array(values: np.ndarray) -> FileFacts:
    bands = 1 if values.ndim == 2 else min(values.shape[0], values.shape[-1])
    return FileFacts('NPY', _bands(bands), 8 * values.dtype.itemsize)


def _of_tiff(data: bytes) -> FileFacts:
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        page = tif.pages.first
        bands = page.samplesperpixel
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            colour = 'palette'
        elif page.photometric == tifffile.PHOTOMETRIC.RGB and bands in (3, 4):
            colour = ('RGB', 'RGB + alpha')[bands - 3]
        elif page.photometric == tifffile.PHOTOMETRIC.SEPARATED and bands == 4:
            colour = 'CMYK'
        else:
            colour = _bands(bands if bands > 1 else len(tif.pages))
        return FileFacts('TIFF', colour, page.bitspersample)


def _bands(number: int) -> str:
    return 'grey' if number == 1 else f'{number} bands'
