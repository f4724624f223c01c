"""Grids of pictures, as 8-bit RGB arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# What hidden pixels look like in the column 'masked'.
HIDDEN_GREY = 127
GAP = 4
# Height of the names over columns.
HEADING = 18
COLUMNS = ('original', 'masked', 'reconstruction', 'pasted')


def check_bands(bands: Sequence[int] | None, channels: int | None = None) -> tuple[int, ...] | None:
    """Checks which bands are to be shown.

    Args:
        bands: Three bands as red, green and blue, or one as grey, counted from 0; None for the first three or one.
        channels: How many the images have, if that is known.

    Returns:
        The bands.

    Raises:
        ValueError: If they are something else, or the images do not have them.
    """
    if bands is None:
        return None
    if (
        not isinstance(bands, Sequence)
        or len(bands) not in (1, 3)
        or not all(isinstance(band, int) and not isinstance(band, bool) and band >= 0 for band in bands)
    ):
        raise ValueError(
            f'bands={bands!r} must be three bands, shown as red, green and blue, or one, counted from 0; (2, 1, 0), '
            'for example'
        )
    if channels is not None and max(bands) >= channels:
        raise ValueError(f'bands={bands!r} cannot be shown: the images have bands 0 to {channels - 1}')
    return tuple(bands)


def to_rgb(images: np.ndarray, bands: Sequence[int] | None = None) -> np.ndarray:
    """Images of any number of channels as RGB.

    Args:
        images: (B, C, H, W) uint8.
        bands: See :func:`check_bands`.

    Returns:
        (B, H, W, 3): one channel is repeated; without ``bands``, of two or more than three the first one or three are
        shown.
    """
    shown = images[:, list(_shown_bands(images.shape[1], bands))]
    shown = np.repeat(shown, 3, axis=1) if shown.shape[1] == 1 else shown
    return np.ascontiguousarray(shown.transpose(0, 2, 3, 1))


def _shown_bands(channels: int, bands: Sequence[int] | None) -> Sequence[int]:
    return check_bands(bands, channels) or ((0, 1, 2) if channels >= 3 else (0,))


def stretch(images: np.ndarray, like: np.ndarray, bands: Sequence[int] | None = None) -> np.ndarray:
    """Brings values of any range to 8 bits, so that a person sees something.

    The 2nd and the 98th percentile of each band of each image of ``like`` become 0 and 255; what is outside is clipped.

    Args:
        images: (B, C, H, W); 8-bit ones are returned as they are.
        like: (B, C, H, W), whose percentiles are taken.
        bands: Those that will be shown; the others are black.

    Returns:
        (B, C, H, W) uint8.
    """
    if images.dtype == np.uint8:
        return images
    stretched = np.zeros(images.shape, dtype=np.uint8)
    for band in set(_shown_bands(images.shape[1], bands)):
        low, high = np.percentile(like[:, band].astype(np.float64), (2, 98), axis=(1, 2), keepdims=True)
        share = (images[:, band] - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
        stretched[:, band] = (255 * np.nan_to_num(share).clip(0, 1)).round()  # NaN is black
    return stretched


def reconstruction_panel(
    originals: np.ndarray, reconstructions: np.ndarray, hidden: np.ndarray, bands: Sequence[int] | None = None
) -> np.ndarray:
    """A row an image: original, masked, reconstruction, and the reconstruction pasted into the visible part.

    Args:
        originals: (B, C, H, W), uint8, or numbers of any range, which are stretched (see :func:`stretch`).
        reconstructions: (B, C, H, W), likewise; stretched as the originals are.
        hidden: (B, H, W) bool.
        bands: See :func:`check_bands`.

    Returns:
        (height, width, 3) uint8, with the columns' names on top.
    """
    original = to_rgb(stretch(originals, originals, bands), bands)
    reconstruction = to_rgb(stretch(reconstructions, originals, bands), bands)
    where = hidden[..., None]
    masked = np.where(where, np.uint8(HIDDEN_GREY), original)
    pasted = np.where(where, reconstruction, original)
    return label_columns(tile(np.stack([original, masked, reconstruction, pasted], axis=1)), COLUMNS)


def tile(pictures: np.ndarray) -> np.ndarray:
    """Puts pictures side by side with white gaps.

    Args:
        pictures: (rows, columns, H, W, 3) uint8.

    Returns:
        (height, width, 3) uint8.
    """
    rows, columns, height, width, _ = pictures.shape
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            canvas[top : top + height, left : left + width] = pictures[row, column]
    return canvas


def label_columns(panel: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Writes a name over each column of a panel.

    Args:
        panel: (height, width, 3) uint8, of columns of equal width.
        labels: A name a column; shortened by the picture's edge where a column is too narrow.

    Returns:
        (height + 18, width, 3) uint8.
    """
    header = Image.new('RGB', (panel.shape[1], HEADING), 'white')
    draw = ImageDraw.Draw(header)
    step = (panel.shape[1] + GAP) / len(labels)
    font = ImageFont.load_default(size=12)
    for number, label in enumerate(labels):
        while label and draw.textlength(label, font=font) > step - GAP:
            label = label[:-1]
        draw.text((number * step + 1, 1), label, fill='black', font=font)
    return np.concatenate([np.asarray(header), panel])


def label_rows(panel: np.ndarray, labels: Sequence[str], top: int = 0) -> np.ndarray:
    """Writes a name beside each row of a panel.

    Args:
        panel: (height, width, 3) uint8, of rows of equal height.
        labels: A name a row.
        top: Height of what stands above the rows.

    Returns:
        (height, width + as much as the names need, 3) uint8.
    """
    font = ImageFont.load_default(size=12)
    width = math.ceil(max(font.getlength(label) for label in labels)) + 8
    margin = Image.new('RGB', (width, panel.shape[0]), 'white')
    draw = ImageDraw.Draw(margin)
    step = (panel.shape[0] - top + GAP) / len(labels)
    for number, label in enumerate(labels):
        draw.text((2, top + (number + 0.5) * step - GAP / 2), label, fill='black', font=font, anchor='lm')
    return np.concatenate([np.asarray(margin), panel], axis=1)


def png_name(path: str) -> str:
    """The name that :func:`save_png` writes to."""
    return path if path.lower().endswith('.png') else f'{path}.png'


def save_png(path: str, picture: np.ndarray) -> str:
    """Writes a picture, and the folders that it needs.

    Args:
        path: File name; ``.png`` is appended where it ends otherwise.
        picture: (height, width, 3) uint8, RGB.

    Returns:
        The path.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    path = png_name(path)
    Image.fromarray(picture).save(path)
    return path
