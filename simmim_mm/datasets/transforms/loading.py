"""Reading image files as 8-bit RGB."""

from __future__ import annotations

import io
import os
import stat

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from simmim_mm.registry import TRANSFORMS

# TIFF's tags BitsPerSample and PlanarConfiguration.
BITS, PHOTOMETRIC, PLANES = 258, 262, 284

# EXIF's Orientation -> how to turn the stored image.
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def printable(text: str) -> str:
    """A text on one line, with line breaks and what is not Unicode escaped."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)


class UnreadableImageError(OSError):
    """An image file that cannot be read.

    Args:
        path: Which one.
        reason: Why.

    Attributes:
        path: Which one, on one line that any log can hold.
        reason: Why, likewise.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = printable(path)
        self.reason = printable(reason)
        super().__init__(f'{self.path}: {self.reason}')


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Reads ``results['img_path']`` as RGB, whatever the file holds.

    JPEG (grey, CMYK), PNG (palette, 16-bit), WebP, BMP, GIF, TIFF and what else Pillow reads; of several frames the
    first. A camera's rotation (EXIF) is applied. An alpha channel is dropped. Grey is repeated into three channels.
    16-bit values ``v`` become ``v / 257``, so 65535 becomes 255; an image that uses only a small part of the 16 bits
    comes out dark. Whole files only: a truncated file is unreadable.

    Adds ``img`` ((H, W, 3) uint8, RGB), ``img_shape`` and ``ori_shape`` ((H, W)).

    Raises:
        UnreadableImageError: If the file is missing, is no image, is damaged, has more pixels than Pillow's limit
            against decompression bombs (``PIL.Image.MAX_IMAGE_PIXELS``, twice 89 million), or holds 32-bit values.
    """

    def transform(self, results: dict) -> dict:
        """Reads one image."""
        image = read_rgb(results['img_path'])
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def read_rgb(path: str) -> np.ndarray:
    """Reads an image file.

    Args:
        path: The file.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UnreadableImageError: See :class:`LoadImage`.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would wait for ever
            raise UnreadableImageError(path, 'no regular file')
        with open(path, 'rb') as file:
            data = file.read()
        with Image.open(io.BytesIO(data)) as image:
            return _to_rgb(image)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(path, 'no image, or of a format that is not known') from error
    except Exception as error:  # Pillow's plug-ins raise many types: SyntaxError, struct.error, KeyError, ...
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableImageError(path, ' '.join(reason.split()) or type(error).__name__) from error


def _to_rgb(image: Image.Image) -> np.ndarray:
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if image.mode in ('I;16', 'I;16L', 'I;16B', 'I;16N', 'I'):
        values = np.asarray(_upright(image))
        if values.min() < 0 or values.max() > 65535:
            raise ValueError('it holds 32-bit integers; convert it to 8 or 16 bits a channel')
        if tags.get(PHOTOMETRIC) == 0:
            values = 65535 - values  # white is 0
        # 65535 / 255 is 257, rounded to the nearest.
        grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode == 'F':
        raise ValueError('it holds floating-point values; convert it to 8 or 16 bits a channel')
    if tags.get(PLANES) == 2 and max(tags.get(BITS, (8,))) > 8:
        raise ValueError('it holds 16-bit colours plane by plane, which Pillow misreads; save them interleaved')
    if image.mode == 'P':
        image = image.convert('RGBA')
    image = _upright(image)
    return np.array(image if image.mode == 'RGB' else image.convert('RGB'))


def _upright(image: Image.Image) -> Image.Image:
    """Undoes a camera's rotation. Pillow's ``exif_transpose`` writes all tags anew, and fails on odd ones."""
    image.load()  # Pillow turns TIFF files itself when it loads them, and then forgets the tag.
    method = ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if method is None else image.transpose(method)
