"""Numbers that say whether a picture shows anything."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import imagehash
import numpy as np
from PIL import Image

from simmim_mm.datasets.moments import PixelMoments, histogram
from simmim_mm.visualization.panels import to_rgb

# Longest side, in pixels, at which detail is measured and pictures are hashed: so that it counts what a picture shows
# and not how finely.
MEASURED_SIDE = 256
# As much of the range of values as counts as full: JPEG and sharpening leave clipped parts a little below the top.
FULL = 0.98
TINY = 1e-300


class Measures(NamedTuple):
    """Measures of one picture, all in shares of the range that values have.

    Attributes:
        contrast: Largest standard deviation of a channel; 0 of an image of one colour.
        bright_end: 95th percentile of the luminance; None where the range is not known.
        clipped: Share of the pixels whose luminance is full, 98 % of the range and more; None likewise.
        detail: Standard deviation of the Laplacian of the luminance, at no more than 256 pixels a side: what focus
            measures take the variance of (Pech-Pacheco et al., ICPR 2000, https://doi.org/10.1109/ICPR.2000.903548).
            Photographs have 0.02 to 0.3, blurred ones less.
        perceptual_hash: 64 bits, see :func:`perceptual_hash`.
    """

    contrast: float
    bright_end: float | None
    clipped: float | None
    detail: float
    perceptual_hash: int


def measure(image: np.ndarray, moments: PixelMoments, value_range: tuple[float, float] | None) -> Measures:
    """Measures one image.

    Args:
        image: (H, W, C) uint8 or float32.
        moments: Of its pixels.
        value_range: Lowest and highest value that pixels usually have; None where that is not known, and the image's
            own take their place.
    """
    low, high = value_range or (float(moments.low.min()), float(moments.high.max()))
    grey = luminance(image, low, high)
    small = _reduced(grey)
    bright_end = clipped = None
    if value_range is not None:
        shares = histogram(grey).cumsum() / grey.size
        bright_end = float(np.searchsorted(shares, 0.95)) / 255
        clipped = float(1 - shares[round(FULL * 255) - 1])
    detail = float(np.asarray(cv2.Laplacian(small, cv2.CV_32F)).std()) / 255
    contrast = float(moments.std.max()) / (high - low) if high > low else 0.0
    return Measures(contrast, bright_end, clipped, detail, perceptual_hash(small))


def luminance(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """The grey picture of an image: its luminance, where it has three channels, else the first of them.

    Args:
        image: (H, W, C)
        low: What becomes 0.
        high: What becomes 255.

    Returns:
        (H, W) uint8.
    """
    if image.dtype != np.uint8:
        share = (image.astype(np.float64) - low) / max(high - low, TINY)
        image = (255 * share.clip(0, 1)).round().astype(np.uint8)
    shown = to_rgb(image.transpose(2, 0, 1)[None])[0] if image.shape[2] != 3 else image
    return cv2.cvtColor(np.ascontiguousarray(shown), cv2.COLOR_RGB2GRAY)


def perceptual_hash(grey: np.ndarray) -> int:
    """The 64-bit DCT hash of the package imagehash: similar pictures differ in few bits.

    Args:
        grey: (H, W) uint8.

    Returns:
        A number of 64 bits.
    """
    bits = imagehash.phash(Image.fromarray(grey)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), 'big')


def _reduced(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    scale = MEASURED_SIDE / max(height, width)
    if scale >= 1:
        return grey
    return cv2.resize(grey, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
