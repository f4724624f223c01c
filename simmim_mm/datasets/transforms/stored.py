"""What an image file holds, before anything is made of it, and why it may not be read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simmim_mm.datasets.transforms import kinds

# Orientations of EXIF that swap height and width.
SIDEWAYS = (5, 6, 7, 8)


def printable(text: str) -> str:
    """A text on one line, with line breaks and what is not Unicode escaped."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)


class UnreadableImageError(OSError):
    """An image file that cannot be read.

    Args:
        path: Which one.
        reason: Why.
        kind: One of :mod:`simmim_mm.datasets.transforms.kinds`, which groups reasons.

    Attributes:
        file: Which one.
        path: Which one, on one line that any log can hold.
        reason: Why, likewise.
        kind: As given.
    """

    def __init__(self, path: str, reason: str, kind: str = kinds.DAMAGED) -> None:
        self.file = path
        self.path = printable(path)
        self.reason = printable(reason)
        self.kind = kind
        super().__init__(f'{self.path}: {self.reason}')


class ImageSettingError(ValueError):
    """A sound file that the settings do not fit: a mistake of the config, which stops the run at once."""


class NotFiniteError(ValueError):
    """Some values of an image are NaN or infinite."""


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        values: (H, W, C) numbers of any type, the right way up.
        colour: ``'grey'`` (C is 1, or 2 with alpha), ``'rgb'`` (C is 3, or 4 with alpha or infrared) or ``'bands'``.
    """

    values: np.ndarray
    colour: str


def turn(values: np.ndarray, orientation: int | None) -> np.ndarray:
    """Undoes a camera's rotation.

    Args:
        values: (H, W, ...), as stored.
        orientation: EXIF's (and TIFF's) tag Orientation, 1 to 8; anything else counts as 1.

    Returns:
        (H, W, ...) or (W, H, ...), the right way up.
    """
    if orientation in SIDEWAYS:
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def stored_box(
    box: tuple[int, int, int, int], image_hw: tuple[int, int], orientation: int | None
) -> tuple[int, int, int, int]:
    """Where a box of the image that :func:`turn` gives lies in the stored one.

    Args:
        box: (top, left, height, width) in the image the right way up.
        image_hw: (H, W) of that image.
        orientation: See :func:`turn`.

    Returns:
        (top, left, height, width) in the image as stored.
    """
    top, left, height, width = box
    if orientation in (3, 4, 7, 8):
        top = image_hw[0] - top - height
    if orientation in (2, 3, 6, 7):
        left = image_hw[1] - left - width
    return (left, top, width, height) if orientation in SIDEWAYS else (top, left, height, width)
