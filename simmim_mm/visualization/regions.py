"""Label maps where there are none."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import distance_transform_edt, label


def colour_regions(image: np.ndarray, num_colours: int = 5, smallest: float = 0.02) -> np.ndarray:
    """Connected regions of similar colour: a quick stand-in for a label map, for pictures.

    The image is blurred, reduced to a few colours (median cut), and cut into connected regions of one colour. Pixels of
    small regions go to the nearest larger one.

    Args:
        image: (H, W, 3) uint8.
        num_colours: How many colours to reduce to.
        smallest: Share of the image from which on a region is kept.

    Returns:
        (H, W) int64, numbers from 1.
    """
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(max(image.shape[:2]) / 64))
    colours = np.asarray(blurred.quantize(num_colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))
    regions = np.zeros(image.shape[:2], dtype=np.int64)
    for colour in np.unique(colours):
        parts, _ = label(colours == colour)
        regions = np.where(parts > 0, parts + regions.max(), regions)
    sizes = np.bincount(regions.ravel())
    small = sizes[regions] < min(smallest * regions.size, sizes.max())
    rows, columns = distance_transform_edt(small, return_distances=False, return_indices=True)
    return regions[rows, columns]
