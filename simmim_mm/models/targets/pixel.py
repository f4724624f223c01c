"""Pixels, as they are, normalised, or at a lower resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from simmim_mm.models.targets.base import Target, enlarge, shrink, widen
from simmim_mm.options import check_whole, is_whole
from simmim_mm.registry import MODELS

# Keeps the deviation of a flat patch above 0; the published value.
EPSILON = 1e-6


@MODELS.register_module()
class PixelTarget(Target):
    """The normalised image (SimMIM, section 3.4 of arXiv 2111.09886), or a variant of it.

    Args:
        image_channels: Channels of the images. SimMIM finds it out.
        stride: Pixels per side of a position of the target: 1 for full resolution, more for means over squares (table 3
            of the paper). Must divide the encoder's stride.
        norm: None for pixels as they are; ``'window'`` for pixels less the mean, over the deviation, of the square
            window around each, channel by channel (``norm_targets`` of microsoft/Swin-Transformer, for Swin V2);
            ``'patch'`` for the same within each patch, over all channels (MAE, arXiv 2111.06377, section 4.1).
        norm_size: Side of the window (odd; 47 in the published recipe) or of the patch, in positions of the target.

    Attributes:
        channels: Channels of the target.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, image_channels: int, stride: int = 1, norm: str | None = None, norm_size: int = 0) -> None:
        super().__init__()
        check_whole(image_channels, 'image_channels', 'PixelTarget')
        check_whole(stride, 'stride', 'PixelTarget')
        if norm not in (None, 'window', 'patch'):
            raise ValueError(f"norm={norm!r} of PixelTarget is unknown; use None, 'window' or 'patch'")
        if norm is None and norm_size != 0:
            raise ValueError(
                f"norm_size={norm_size!r} of PixelTarget has no use without norm; set norm='window' or 'patch'"
            )
        if norm is not None and (not is_whole(norm_size) or norm_size < 2):
            raise ValueError(
                f'norm_size={norm_size!r} of PixelTarget must be a side of at least 2; set 47, for example'
            )
        if norm == 'window' and norm_size % 2 == 0:
            raise ValueError(f"norm_size={norm_size} of PixelTarget must be odd for norm='window'; use {norm_size + 1}")
        self.channels = image_channels
        self.stride = stride
        self.norm = norm
        self.norm_size = norm_size

    def forward(self, images: Tensor) -> Tensor:
        """Makes the target.

        Args:
            images: (B, C, H, W), normalised.

        Returns:
            (B, C, H / stride, W / stride)
        """
        target = shrink(images, self.stride)
        if self.norm is None:
            return target
        mean, deviation = self._statistics(target)
        # The difference in the precision of the mean: that of a flat region is as small as the mean's rounding in fp32.
        return ((target.to(mean) - mean) / deviation).to(target)

    def to_images(self, estimate: Tensor, images: Tensor) -> Tensor:
        """Turns a predicted map into images, for pictures.

        A normalised target says nothing of mean and deviation; those of the true image are put back, as is usual in
        pictures.

        Args:
            estimate: (B, C, H / stride, W / stride)
            images: (B, C, H, W), the images that it is a prediction of.

        Returns:
            (B, C, H, W), normalised.
        """
        if self.norm is not None:
            mean, deviation = self._statistics(shrink(images, self.stride))
            estimate = (estimate.to(mean) * deviation + mean).to(estimate)
        return enlarge(estimate, self.stride)

    def _statistics(self, target: Tensor) -> tuple[Tensor, Tensor]:
        return (
            window_statistics(target, self.norm_size)
            if self.norm == 'window'
            else patch_statistics(target, self.norm_size)
        )


def window_statistics(maps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the window around each position; windows are cut at the edges of the map.

    Args:
        maps: (B, C, H, W)
        size: Side of the window, odd.

    Returns:
        Mean and ``sqrt(unbiased variance + 1e-6)``, both (B, C, H, W), in float64 where the device has it. The variance
        of a window that holds one position is 0.
    """

    def window_sum(values: Tensor) -> Tensor:
        # Two passes over lines: 2 * size additions a position instead of size ** 2.
        rows = F.avg_pool2d(values, (size, 1), stride=1, padding=(size // 2, 0), divisor_override=1)
        return F.avg_pool2d(rows, (1, size), stride=1, padding=(0, size // 2), divisor_override=1)

    maps = widen(maps)
    # Mean of squares less square of the mean: of numbers far from 0, their difference is lost in rounding. So numbers
    # are taken from the mean of the image first, and in float64: a region may be far from that.
    centre = maps.mean(dim=(2, 3), keepdim=True)
    shifted = maps - centre
    count = window_sum(torch.ones_like(maps[:1, :1]))
    mean = window_sum(shifted) / count
    variance = (window_sum(shifted.square()) / count - mean.square()) * (count / (count - 1).clamp(min=1))
    return mean + centre, (variance.clamp(min=0) + EPSILON).sqrt()


def patch_statistics(maps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each patch over its positions and channels.

    Args:
        maps: (B, C, H, W)
        size: Side of a patch; must divide H and W.

    Returns:
        Mean and ``sqrt(unbiased variance + 1e-6)``, both (B, 1, H, W), in float64 where the device has it.

    Raises:
        ValueError: If the patches do not tile the map.
    """
    height, width = maps.shape[-2:]
    if height % size or width % size:
        raise ValueError(f'norm_size={size} of PixelTarget does not divide the {height}x{width} target; change it')
    patches = widen(maps).unflatten(-1, (-1, size)).unflatten(-3, (-1, size))  # (B, C, h, size, w, size)
    dims = (1, 3, 5)
    mean = patches.mean(dim=dims, keepdim=True)
    deviation = (patches.var(dim=dims, keepdim=True) + EPSILON).sqrt()

    def spread(values: Tensor) -> Tensor:
        return values.expand(-1, -1, -1, size, -1, size).flatten(-2).flatten(-3, -2)

    return spread(mean), spread(deviation)
