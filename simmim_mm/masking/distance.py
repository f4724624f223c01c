"""How far hidden pixels are from what can be seen."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt


def mean_distance_to_visible(mask: np.ndarray, cell: int = 1) -> float:
    """AvgDist: the mean Euclidean distance from a hidden pixel to the nearest visible one.

    Section 4.1.2 of SimMIM (arXiv 2111.09886) takes it as the measure of a masking strategy. A hidden pixel next to a
    visible one counts 1.

    Args:
        mask: (h, w) bool, True means hidden.
        cell: Side of a cell in pixels.

    Returns:
        The mean in pixels, over the centres of the pixels; 0 where nothing is hidden, infinity where everything is.

    Raises:
        ValueError: If the mask is not (h, w) bool, or the cell is no side in pixels.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f'a mask of shape {mask.shape} and type {mask.dtype} is not (h, w) bool, True means hidden')
    if not isinstance(cell, int) or isinstance(cell, bool) or cell < 1:
        raise ValueError(f'cell={cell!r} is no side of a cell in pixels; use 32, for example')
    if not mask.any():
        return 0.0
    if mask.all():
        return math.inf
    pixels = mask.repeat(cell, axis=0).repeat(cell, axis=1)
    return float(distance_transform_edt(pixels)[pixels].mean())
