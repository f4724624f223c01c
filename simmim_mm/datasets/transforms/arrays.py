"""Reading NumPy's .npy files as images."""

from __future__ import annotations

import io
import math

import numpy as np

from simmim_mm.datasets.transforms.limits import Limits
from simmim_mm.datasets.transforms.stored import ImageSettingError, Stored

MAGIC = b'\x93NUMPY'


def read_npy(data: bytes, path: str, channels: int | None, channel_axis: str | None, limits: Limits) -> Stored:
    """Reads an array of (H, W), (H, W, C) or (C, H, W).

    Args:
        data: A file's content.
        path: Its name, for messages.
        channels: How many channels are asked for; None for as many as there are.
        channel_axis: ``'first'`` or ``'last'`` of three axes; None to find the one with ``channels`` entries, or with a
            single one.
        limits: Of the size.

    Returns:
        What the file holds: ``'grey'`` or ``'bands'``.

    Raises:
        ImageSettingError: If it does not follow where the channels stand.
        ValueError: If it is no such array, is cut off, or holds Python objects.
    """
    _check_header(data, limits)
    values = np.load(io.BytesIO(data), allow_pickle=False)
    if values.dtype.kind not in 'buif':
        raise ValueError(f'it is an array of {values.dtype}; save numbers')
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim != 3:
        raise ValueError(f'it is an array of shape {values.shape}; save (H, W), (H, W, C) or (C, H, W)')
    elif _channels_first(values.shape, path, channels, channel_axis):
        values = values.transpose(1, 2, 0)
    if values.size == 0:
        raise ValueError(f'it is an empty array of shape {values.shape}')
    limits.check_image(values.shape[0], values.shape[1], values.shape, values.dtype.itemsize)
    return Stored(values, 'grey' if values.shape[2] == 1 else 'bands')


def _check_header(data: bytes, limits: Limits) -> None:
    """Compares what the header announces with what is there, as NumPy takes the memory for it at once."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # 3.0 is for names that are not Latin
        raise ValueError(f'it is an array in version {version} of the format, of named fields; save numbers')
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        return  # np.load refuses it
    limits.check_image(1, 1, shape, dtype.itemsize)
    announced, found = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if announced > found:
        raise ValueError(f'it is cut off: {found} of {announced} bytes are there')


def _channels_first(shape: tuple[int, ...], path: str, channels: int | None, channel_axis: str | None) -> bool:
    if channel_axis is not None:
        return channel_axis == 'first'
    for wanted in (channels, 1):
        first, last = shape[0] == wanted, shape[2] == wanted
        if first != last:
            return first
        if first:
            break
    raise ImageSettingError(
        f'{path} is an array of shape {shape}, and it does not follow which axis holds the '
        f"{'' if channels is None else f'{channels} '}channels; set channel_axis='first' or 'last' in LoadImage, or "
        'the number of channels with model.data_preprocessor.channels'
    )
