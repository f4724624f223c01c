"""Grids of pictures, as 8-bit RGB arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# What hidden pixels look like in the column 'masked'.
HIDDEN_GREY = 127
GAP = 4
COLUMNS = ('original', 'masked', 'reconstruction', 'pasted')


def to_rgb(images: np.ndarray) -> np.ndarray:
    """Images of any number of channels as RGB.

    Args:
        images: (B, C, H, W) uint8.

    Returns:
        (B, H, W, 3): one channel is repeated, of two or more than three the first one or three are shown.
    """
    shown = images[:, :3] if images.shape[1] >= 3 else np.repeat(images[:, :1], 3, axis=1)
    return np.ascontiguousarray(shown.transpose(0, 2, 3, 1))


def reconstruction_panel(originals: np.ndarray, reconstructions: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """A row an image: original, masked, reconstruction, and the reconstruction pasted into the visible part.

    Args:
        originals: (B, C, H, W) uint8.
        reconstructions: (B, C, H, W) uint8.
        hidden: (B, H, W) bool.

    Returns:
        (height, width, 3) uint8, with the columns' names on top.
    """
    original, reconstruction = to_rgb(originals), to_rgb(reconstructions)
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
    header = Image.new('RGB', (panel.shape[1], 18), 'white')
    draw = ImageDraw.Draw(header)
    step = (panel.shape[1] + GAP) / len(labels)
    font = ImageFont.load_default(size=12)
    for number, label in enumerate(labels):
        while label and draw.textlength(label, font=font) > step - GAP:
            label = label[:-1]
        draw.text((number * step + 1, 1), label, fill='black', font=font)
    return np.concatenate([np.asarray(header), panel])


def save_png(path: str, picture: np.ndarray) -> str:
    """Writes a picture, and the folders that it needs.

    Args:
        path: File name; ``.png`` is appended where it ends otherwise.
        picture: (height, width, 3) uint8, RGB.

    Returns:
        The path.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    path = path if path.lower().endswith('.png') else f'{path}.png'
    Image.fromarray(picture).save(path)
    return path
