"""Distances between images, of a whole batch on its device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Decibels that stand for images without a difference, whose ratio is infinite.
HIGHEST_PSNR = 100.0
# Pixels per side of the squares that SSIM looks at.
SSIM_WINDOW = 7


def hidden_errors(images: Tensor, others: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute and mean squared error over hidden pixels and channels.

    Args:
        images: (B, C, H, W)
        others: (B, C, H, W)
        hidden: (B, H, W) bool, True somewhere in each image.

    Returns:
        Both (B,).
    """
    difference = (images - others) * hidden.unsqueeze(1)
    amount = hidden.sum(dim=(1, 2)) * images.shape[1]
    return difference.abs().sum(dim=(1, 2, 3)) / amount, difference.square().sum(dim=(1, 2, 3)) / amount


def psnr(images: Tensor, others: Tensor, data_range: float = 255.0) -> Tensor:
    """Peak signal-to-noise ratio over all pixels and channels, as scikit-image's ``peak_signal_noise_ratio``.

    Args:
        images: (B, C, H, W)
        others: (B, C, H, W)
        data_range: Distance from the lowest to the highest value that there can be.

    Returns:
        (B,) in decibels, at most :data:`HIGHEST_PSNR`, so that one perfect image does not make a mean infinite.
    """
    error = (images - others).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(data_range**2 / error)).clamp(max=HIGHEST_PSNR)


def ssim(images: Tensor, others: Tensor, data_range: float = 255.0) -> Tensor:
    """Structural similarity (Wang et al. 2004), as scikit-image's ``structural_similarity`` computes it by default.

    That is: squares of 7x7 pixels that lie within the image, all weighted alike, unbiased variances, K1 = 0.01 and K2 =
    0.03, and the mean over squares and channels. Here it is computed for a batch on its device: one image at a time on
    the host would take longer than the model.

    Args:
        images: (B, C, H, W), each side at least 7 pixels.
        others: (B, C, H, W)
        data_range: See :func:`psnr`.

    Returns:
        (B,), at most 1.

    Raises:
        ValueError: If the images are smaller.
    """
    if min(images.shape[-2:]) < SSIM_WINDOW:
        height, width = images.shape[-2:]
        raise ValueError(
            f'SSIM looks at squares of {SSIM_WINDOW}x{SSIM_WINDOW} pixels, the images are {height}x{width}'
        )
    # Variances do not change with the zero point, and lose fewer digits around 0.
    x, y = images - data_range / 2, others - data_range / 2

    def mean(maps: Tensor) -> Tensor:
        return F.avg_pool2d(maps, SSIM_WINDOW, stride=1)

    mean_x, mean_y = mean(x), mean(y)
    unbiased = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    var_x, var_y = unbiased * (mean(x * x) - mean_x**2), unbiased * (mean(y * y) - mean_y**2)
    covariance = unbiased * (mean(x * y) - mean_x * mean_y)
    mean_x, mean_y = mean_x + data_range / 2, mean_y + data_range / 2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean(dim=(1, 2, 3))
