"""Reading image files of any number of channels."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import UnidentifiedImageError

from simmim_mm.datasets.transforms import arrays, tiff
from simmim_mm.datasets.transforms.conversion import to_channels, to_depth
from simmim_mm.datasets.transforms.photographs import read_photograph
from simmim_mm.datasets.transforms.stored import ImageSettingError, Stored, UnreadableImageError
from simmim_mm.registry import TRANSFORMS

# Of pipes, opening is not to wait for who writes to them; on Windows, bytes are not to be taken for text.
READ = os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0)

__all__ = ['ImageSettingError', 'LoadImage', 'UnreadableImageError', 'check_channels_option']


def check_channels_option(channels: int | None, where: str) -> int | None:
    """Checks a number of channels.

    Args:
        channels: A whole number from 1, or None.
        where: Whose it is, for the message.

    Returns:
        The number.

    Raises:
        ValueError: If it is something else.
    """
    if channels is not None and (not isinstance(channels, int) or isinstance(channels, bool) or channels < 1):
        raise ValueError(f'channels={channels!r} of {where} must be a whole number from 1: 3 for RGB, 1 for grey')
    return channels


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Reads ``results['img_path']``: photographs, TIFF files of many bands, 16-bit and float images, ``.npy`` arrays.

    JPEG, PNG, WebP, BMP, GIF, TIFF and what else Pillow reads; of several frames the first. A camera's rotation (EXIF)
    is applied. Pages of a TIFF file that are not in colour are bands. Whole files only: a truncated file is unreadable.
    Where the sample has ``img_part`` (file, offset, size in bytes), that part of another file is read.

    Adds ``img`` ((H, W, C) uint8 or float32; RGB if C is 3), ``img_shape`` and ``ori_shape`` ((H, W)), and
    ``grey_repeated`` (bool) and ``stored_type`` (NumPy's name of the type that the file's values had).

    ``channels`` and ``depth`` follow from ``model.data_preprocessor`` in a run, and need not be written.

    Args:
        channels: 3: RGB; palettes and CMYK are converted, alpha (or infrared, of RGB files with four
            bands) is dropped, grey see below. 1: grey; colours become
            luminance (ITU-R BT.601), alpha is dropped. Any other number: bands as they are stored, RGB with alpha
            counting as 4. None: as many as each file holds.
        grey: What becomes of a grey file where 3 channels are asked for: ``'error'``, or ``'repeat'`` for three equal
            channels.
        depth: ``'uint8'``: 8 bits; 16-bit values ``v`` become ``v / 257``, so 65535 becomes 255 (where Pillow reads
            16-bit colours, ``v / 256`` without a remainder); other integers and floating point are refused.
            ``'stored'``: 8-bit values stay uint8, all others become float32 of the same value.
        channel_axis: ``'first'`` or ``'last'``: where the channels of ``.npy`` arrays with three axes stand. By default
            the axis with ``channels`` entries, or a single one.
        nan_value: What takes the place of NaN and infinity in floating-point files; without it, such files are
            unreadable.

    Raises:
        ValueError: If an argument is out of range, or a sound file holds another number of channels, or values of which
            ``depth`` does not allow to have 8 bits.
        UnreadableImageError: If the file is missing, is no image, is damaged, has more pixels than Pillow's limit
            against decompression bombs (``PIL.Image.MAX_IMAGE_PIXELS``, twice 89 million), or values that are not
            finite.
    """

    def __init__(
        self,
        channels: int | None = 3,
        grey: str = 'error',
        depth: str = 'uint8',
        channel_axis: str | None = None,
        nan_value: float | None = None,
    ) -> None:
        self.channels = check_channels_option(channels, 'LoadImage')
        if grey not in ('error', 'repeat'):
            raise ValueError(f"grey={grey!r} of LoadImage is unknown; use 'error' or 'repeat'")
        if depth not in ('uint8', 'stored'):
            raise ValueError(f"depth={depth!r} of LoadImage is unknown; use 'uint8' or 'stored'")
        if channel_axis not in (None, 'first', 'last'):
            raise ValueError(f"channel_axis={channel_axis!r} of LoadImage is unknown; use 'first', 'last' or None")
        if nan_value is not None and (
            isinstance(nan_value, bool) or not isinstance(nan_value, int | float) or not np.isfinite(nan_value)
        ):
            raise ValueError(f'nan_value={nan_value!r} of LoadImage must be a finite number, or None')
        self.grey = grey
        self.depth = depth
        self.channel_axis = channel_axis
        self.nan_value = nan_value

    def transform(self, results: dict) -> dict:
        """Reads one image."""
        return self.unpack(results, self.fetch(results))

    def fetch(self, results: dict) -> bytes:
        """The content of a sample's file."""
        path = results['img_path']
        file_name, offset, size = results.get('img_part', (path, 0, -1))
        with _unreadable(path):
            descriptor = os.open(file_name, READ)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
                    raise UnreadableImageError(path, 'no regular file')
                data = _read_part(descriptor, offset, status.st_size if size < 0 else size)
            finally:
                os.close(descriptor)
            if size > len(data):
                raise UnreadableImageError(path, 'the file that it is a part of is cut off')
            return data

    def unpack(self, results: dict, data: bytes) -> dict:
        """Makes the image of a file's content.

        Args:
            results: The sample, with ``img_path``.
            data: The content.
        """
        path = results['img_path']
        with _unreadable(path):
            stored, stored_type = self._read(data, path)
        image = to_channels(stored, self.channels, self.grey, path)
        results['img'] = np.ascontiguousarray(image)
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        results['grey_repeated'] = stored.colour == 'grey' and image.shape[2] == 3
        results['stored_type'] = stored_type
        return results

    def _read(self, data: bytes, path: str) -> tuple[Stored, str]:
        photographic, eight_bit = self.channels in (1, 3), self.depth == 'uint8'
        stored: Stored | None = None
        if data.startswith(arrays.MAGIC):
            stored = arrays.read_npy(data, path, self.channels, self.channel_axis)
        elif data.startswith(tiff.MAGICS):
            stored = tiff.read_tiff(data, path, photographic, eight_bit)
        if stored is None:
            stored = read_photograph(data, photographic, eight_bit)
        values = to_depth(stored.values, self.depth, path, self.nan_value)
        return stored._replace(values=values), stored.values.dtype.newbyteorder('=').name

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(channels={self.channels}, grey={self.grey!r}, depth={self.depth!r}, '
            f'channel_axis={self.channel_axis!r}, nan_value={self.nan_value})'
        )


def _read_part(descriptor: int, offset: int, size: int) -> bytes:
    if offset:
        os.lseek(descriptor, offset, os.SEEK_SET)
    data = os.read(descriptor, size)
    while 0 < len(data) < size:  # one call reads 2 GB at most
        more = os.read(descriptor, size - len(data))
        if not more:
            break
        data += more
    return data


@contextmanager
def _unreadable(path: str) -> Iterator[None]:
    """Gives whatever goes wrong with a file one type."""
    try:
        yield
    except (UnreadableImageError, ImageSettingError):
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(path, 'no image, or of a format that is not known') from error
    except Exception as error:  # Pillow's plug-ins raise many types: SyntaxError, struct.error, KeyError, ...
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableImageError(path, ' '.join(reason.split()) or type(error).__name__) from error
