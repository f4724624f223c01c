"""Patterns that fill painted objects, one for each class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Of a wave, in pixels, smallest and largest.
WAVELENGTH = (5.0, 8.0)

# x and y from the middle of an object, in wavelengths, turned with the pattern; randomness -> 0 to 1.
Pattern = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _wave(phase: np.ndarray) -> np.ndarray:
    """0 to 1 and back with every whole number."""
    return 0.5 + 0.5 * np.sin(2 * np.pi * phase)


def _stripes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _wave(x)


def _checks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (np.floor(1.6 * x) + np.floor(1.6 * y)) % 2


def _dots(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (np.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.3).astype(float)


def _rings(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _wave(np.hypot(x, y))


def _zigzag(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _wave(x + 0.7 * np.abs(y % 2 - 1))


def _sectors(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _wave(6 * np.arctan2(y, x) / (2 * np.pi))


def _blocks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Squares that are one or the other at random."""
    columns, rows = (np.floor(2 * (values - values.min())).astype(int) for values in (x, y))
    return rng.integers(2, size=(rows.max() + 1, columns.max() + 1))[rows, columns].astype(float)


def _shade(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slowly from one to the other."""
    return np.clip(0.5 + 0.2 * x, 0, 1)


PATTERNS: tuple[Pattern, ...] = (_stripes, _checks, _dots, _rings, _zigzag, _sectors, _blocks, _shade)


def paint_pattern(
    kind: int, size: tuple[int, int], centre: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """How much of the second of two colours each pixel would have, if the object were everywhere.

    Args:
        kind: Index of a class.
        size: H and W of the image.
        centre: x and y of the object's middle, in pixels.
        rng: Source of angle, wavelength and phase.

    Returns:
        (H, W), 0 to 1.
    """
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    wavelength, angle = rng.uniform(*WAVELENGTH), rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(-0.4, 0.4, size=2)
    x, y = (columns - centre[0]) / wavelength - shift[0], (rows - centre[1]) / wavelength - shift[1]
    cosine, sine = np.cos(angle), np.sin(angle)
    return PATTERNS[kind](cosine * x + sine * y, cosine * y - sine * x, rng)
