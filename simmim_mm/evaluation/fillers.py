"""Trivial ways to fill hidden pixels: what a model has to beat."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mean_colour(images: Tensor, hidden: Tensor) -> Tensor:
    """Fills hidden pixels with the mean colour of the image's visible pixels.

    Args:
        images: (B, C, H, W)
        hidden: (B, H, W) bool.

    Returns:
        (B, C, H, W); visible pixels as they are. An image without visible pixels is filled with 0.
    """
    visible = (~hidden).unsqueeze(1).to(images.dtype)
    mean = (images * visible).sum(dim=(2, 3), keepdim=True) / visible.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return mean.where(hidden.unsqueeze(1), images)


def local_mean(images: Tensor, hidden: Tensor, radius: int = 16) -> Tensor:
    """Fills each hidden pixel with the mean of the visible pixels around it.

    Around it means in a square of ``2 * radius + 1`` pixels; where that holds no visible pixel, in a square of twice
    the radius, and so on.

    Args:
        images: (B, C, H, W)
        hidden: (B, H, W) bool.
        radius: Half side of the first square, in pixels.

    Returns:
        (B, C, H, W); visible pixels as they are. An image without visible pixels is filled with 0.
    """
    visible = (~hidden).unsqueeze(1).to(images.dtype)
    out = mean_colour(images, hidden)
    todo = hidden.unsqueeze(1)
    while todo.any() and radius < max(images.shape[-2:]):
        # Means over the same square, so their quotient is sum over count.
        amount = _box_mean(visible, radius)
        found = todo & (amount > 0.5 / (2 * radius + 1) ** 2)
        out = (_box_mean(images * visible, radius) / amount.clamp(min=1e-12)).where(found, out)
        todo = todo & ~found
        radius *= 2
    return out


def _box_mean(maps: Tensor, radius: int) -> Tensor:
    """Mean over squares, with zeros outside the map; a square as two passes over lines."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(maps, (side, 1), stride=1, padding=(radius, 0))
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius))
