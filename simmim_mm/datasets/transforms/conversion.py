"""From what a file holds to the depth and the channels that are asked for."""

from __future__ import annotations

import numpy as np

from simmim_mm.datasets.transforms.stored import ImageSettingError, NotFiniteError, Stored

# Luminance of red, green and blue (ITU-R BT.601), in units of 1/65536 as Pillow has them.
LUMINANCE = (19595, 38470, 7471)


def to_depth(values: np.ndarray, depth: str, path: str, nan_value: float | None = None) -> np.ndarray:
    """Changes the type of values.

    Args:
        values: Numbers of any type.
        depth: ``'uint8'``: 16-bit values ``v`` become ``v / 257``, to the nearest, other types are refused;
            ``'stored'``: 8-bit values stay, all others become float32 of the same value.
        path: The file, for messages.
        nan_value: What takes the place of NaN and infinity.

    Returns:
        uint8 or float32.

    Raises:
        ImageSettingError: If 8 bits are asked for, of values whose range is not known.
        NotFiniteError: If some are not finite.
    """
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint8:
        return values
    if depth == 'uint8':
        # By the type alone: other integers may hold anything, and values that happen to be small would come out black.
        if values.dtype.str[1:] != 'u2':
            raise ImageSettingError(
                f'{path} holds {_name_of(values.dtype)}, of which 8 bits are asked for; announce their range with '
                'model.data_preprocessor.value_range (tools/dataset_statistics.py CONFIG --as-stored prints it), '
                'convert such files to 8 or 16 bits a channel, or leave them out, with '
                "unfit='skip', pattern, list_file or extensions of the data set"
            )
        # 65535 / 255 is 257, rounded to the nearest.
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    with np.errstate(over='ignore'):
        values = values.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        if nan_value is None:
            raise NotFiniteError(
                f'{(~finite).sum()} of its {finite.size} values are not finite; if they mean "no data", set '
                'nan_value in LoadImage to what shall stand there'
            )
        values = np.where(finite, values, np.float32(nan_value))
    return values


def _name_of(dtype: np.dtype) -> str:
    if dtype.kind == 'f':
        return 'floating-point values'
    return f'{"signed" if dtype.kind == "i" else "unsigned"} {dtype.itemsize * 8}-bit integers'


def to_channels(stored: Stored, channels: int | None, grey: str, path: str) -> np.ndarray:
    """Changes the number of channels, where there is an honest way.

    Args:
        stored: What the file holds, uint8 or float32.
        channels: How many are asked for; None for as many as there are.
        grey: What becomes of grey where 3 are asked for: ``'repeat'`` or ``'error'``.
        path: The file, for messages.

    Returns:
        (H, W, channels)

    Raises:
        ImageSettingError: If the file holds another number of channels.
    """
    values, colour = stored
    found = values.shape[2]
    if channels in (None, found):
        return values
    if colour == 'grey' and channels == 1:
        return values[..., :1]
    if colour == 'rgb' and channels == 3:
        return values[..., :3]
    if colour == 'rgb' and channels == 1:
        return _luminance(values)
    if colour == 'grey' and channels == 3:
        if grey == 'repeat':
            return np.repeat(values[..., :1], 3, axis=-1)
        raise ImageSettingError(
            f'{path} is grey, but 3 channels are asked for; train on grey images with '
            'model.data_preprocessor.channels=1, or let LoadImage repeat grey ones into three channels with '
            "dict(type='LoadImage', grey='repeat')"
        )
    kind = {'grey': 'grey', 'rgb': 'in colour', 'bands': 'in bands'}[colour]
    raise ImageSettingError(
        f'{path} holds {found} channel{"s" if found > 1 else ""} of {values.shape[0]}x{values.shape[1]} pixels '
        f'({kind}), but {channels} are asked for; set model.data_preprocessor.channels={found} (and its mean and std, '
        "or None), or leave such files out with unfit='skip', pattern, list_file or extensions of the data set"
    )


def _luminance(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        weighted = values[..., :3].astype(np.uint32) @ np.array(LUMINANCE, dtype=np.uint32)
        return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]
    weights = np.array(LUMINANCE, dtype=np.float64) / 65536
    return (values[..., :3].astype(np.float64) @ weights).astype(np.float32)[..., None]
