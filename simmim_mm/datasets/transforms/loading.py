"""Reading image files of any number of channels."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from simmim_mm.datasets.transforms import arrays, tiff
from simmim_mm.datasets.transforms.content import damaged_format, what_it_is
from simmim_mm.datasets.transforms.conversion import to_channels, to_depth
from simmim_mm.datasets.transforms.kinds import DAMAGED, NO_IMAGE
from simmim_mm.datasets.transforms.limits import MAX_BYTES, MAX_PIXELS, Limits
from simmim_mm.datasets.transforms.photographs import read_photograph
from simmim_mm.datasets.transforms.reading import as_unreadable, read_file
from simmim_mm.datasets.transforms.stored import ImageSettingError, Stored, UnreadableImageError
from simmim_mm.options import check_whole
from simmim_mm.registry import TRANSFORMS

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

    JPEG, PNG, WebP, BMP, GIF, TIFF and what else stands in :data:`~.photographs.FORMATS`; of several frames the first.
    A camera's rotation (EXIF)
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
        max_pixels: Images with more pixels (height times width) are unreadable. The default is where Pillow sees a
            decompression bomb, 13378x13378; this option takes the place of ``PIL.Image.MAX_IMAGE_PIXELS``.
        max_bytes: So are files with more bytes, and images whose values take more; 2 GiB by default.

    Raises:
        ValueError: If an argument is out of range, or a sound file holds another number of channels, or values of which
            ``depth`` does not allow to have 8 bits.
        ExhaustedError: If the machine has no memory or no file handles left.
        UnreadableImageError: If the file is missing, is no image, is damaged, is too large, or has values that are not
            finite.
    """

    def __init__(
        self,
        channels: int | None = 3,
        grey: str = 'error',
        depth: str = 'uint8',
        channel_axis: str | None = None,
        nan_value: float | None = None,
        max_pixels: int = MAX_PIXELS,
        max_bytes: int = MAX_BYTES,
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
        self.limits = Limits(
            check_whole(max_pixels, 'max_pixels', 'LoadImage'), check_whole(max_bytes, 'max_bytes', 'LoadImage')
        )
        self.grey = grey
        self.depth = depth
        self.channel_axis = channel_axis
        self.nan_value = nan_value

    def transform(self, results: dict) -> dict:
        """Reads one image."""
        return self.unpack(results, self.fetch(results))

    def fetch(self, results: dict) -> bytes:
        """The content of a sample's file."""
        return read_file(results['img_path'], results.get('img_part'), self.limits)

    def unpack(self, results: dict, data: bytes) -> dict:
        """Makes the image of a file's content.

        Args:
            results: The sample, with ``img_path``.
            data: The content.
        """
        path = results['img_path']
        try:
            with as_unreadable(path):
                stored, stored_type = self._read(data, path)
        except UnreadableImageError as error:
            if error.kind == NO_IMAGE:
                raise _named(path, data, error) from error.__cause__
            raise
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
            stored = arrays.read_npy(data, path, self.channels, self.channel_axis, self.limits)
        elif data.startswith(tiff.MAGICS):
            stored = tiff.read_tiff(data, path, photographic, eight_bit, self.limits)
        if stored is None:
            stored = read_photograph(data, photographic, eight_bit, self.limits)
        values = to_depth(stored.values, self.depth, path, self.nan_value)
        return stored._replace(values=values), stored.values.dtype.newbyteorder('=').name

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(channels={self.channels}, grey={self.grey!r}, depth={self.depth!r}, '
            f'channel_axis={self.channel_axis!r}, nan_value={self.nan_value}, max_pixels={self.limits.max_pixels}, '
            f'max_bytes={self.limits.max_bytes})'
        )


def _named(path: str, data: bytes, error: UnreadableImageError) -> UnreadableImageError:
    """What a file is that is not recognised as an image, where that is known."""
    if (form := damaged_format(data)) is not None:
        return UnreadableImageError(path, f'it begins as a {form} file, and is damaged or cut off', DAMAGED)
    name = what_it_is(data)
    return error if name is None else UnreadableImageError(path, f'it is {name}', NO_IMAGE)
