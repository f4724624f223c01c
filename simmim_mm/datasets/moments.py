"""Mean and deviation of pixels, of one image after the other or in any grouping."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

# OpenCV counts in float32, which holds whole numbers up to this one.
COUNTABLE = 2**24


class PixelMoments(NamedTuple):
    """What the mean and deviation of pixels follow from.

    Attributes:
        num: How many pixels.
        mean: (C,) float64.
        squares: (C,) float64, sums of squared differences to the mean.
        low: (C,) float64, smallest values.
        high: (C,) float64, largest values.
    """

    num: int
    mean: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def std(self) -> np.ndarray:
        """(C,) float64, the deviation of all pixels (not the unbiased estimate)."""
        return np.sqrt(self.squares / self.num)

    def merge(self, other: PixelMoments) -> PixelMoments:
        """Those of both sets of pixels.

        Chan, Golub and LeVeque (1983), equation 2.1: sums of squares about the mean, which lose no digits to it.
        """
        total = self.num + other.num
        delta = other.mean - self.mean
        return PixelMoments(
            total,
            self.mean + delta * (other.num / total),
            self.squares + other.squares + delta**2 * (self.num * other.num / total),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


def pixel_moments(image: np.ndarray) -> PixelMoments:
    """Those of one image.

    Args:
        image: (H, W, C) of any type; of uint8 the values are counted, which is exact and several times faster.
    """
    if image.dtype == np.uint8:
        values = np.arange(256, dtype=np.float64)
        counts = np.stack([histogram(np.ascontiguousarray(image[..., c])) for c in range(image.shape[2])])
        num = image.shape[0] * image.shape[1]
        mean = counts @ values / num
        squares = (counts * np.square(values - mean[:, None])).sum(axis=1)
        there = counts > 0
        return PixelMoments(
            num, mean, squares, there.argmax(axis=1).astype(float), 255.0 - there[:, ::-1].argmax(axis=1)
        )
    pixels = image.reshape(-1, image.shape[2]).astype(np.float64)
    mean = pixels.mean(axis=0)
    squares = np.square(pixels - mean).sum(axis=0)
    return PixelMoments(len(pixels), mean, squares, pixels.min(axis=0), pixels.max(axis=0))


def histogram(grey: np.ndarray) -> np.ndarray:
    """How many pixels have each value.

    Args:
        grey: (H, W) uint8, contiguous.

    Returns:
        (256,) int64.
    """
    flat = grey.reshape(-1)
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, flat.size, COUNTABLE):
        part = cv2.calcHist([flat[start : start + COUNTABLE]], [0], None, [256], [0, 256])
        counts += part.reshape(-1).astype(np.int64)
    return counts
