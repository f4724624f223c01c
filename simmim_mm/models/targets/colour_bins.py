"""Colours as labels, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simmim_mm.models.targets.base import Target, enlarge, shrink
from simmim_mm.models.targets.pixel_range import PixelRange
from simmim_mm.options import check_whole
from simmim_mm.registry import MODELS

# More than the rounding of a normalised pixel in fp32, as a share of the range (seen: 2e-7), and far less than a level.
ROUNDING = 2e-6


@MODELS.register_module()
class ColorBinTarget(Target):
    """The bin of each channel's value, out of equal bins over the range of pixel values (table 5 of arXiv 2111.09886).

    The value ``v`` of ``levels`` possible ones has the label ``floor(v * bins / levels)``. This is exact for 8-bit
    images, though the target sees them normalised. Values outside the range get the first or last label.

    Args:
        image_channels: Channels of the images. SimMIM finds out this one and the next.
        pixel_range: Lowest and highest pixel value of each channel, normalised.
        bins: Labels a channel, from 2 to ``levels``: 8 and 256 in the paper.
        stride: Pixels per side of a position; means over squares are binned where it is above 1. Must divide the
            encoder's stride.
        levels: Possible values of a pixel: 256 for 8-bit images, 65536 for 16-bit ones.

    Raises:
        ValueError: If an argument is out of range, or the range of the pixels is not known.
    """

    def __init__(
        self,
        image_channels: int,
        pixel_range: Sequence[Sequence[float]] | None = None,
        bins: int = 8,
        stride: int = 1,
        levels: int = 256,
    ) -> None:
        super().__init__()
        check_whole(levels, 'levels', 'ColorBinTarget', smallest=2)
        self.channels = check_whole(image_channels, 'image_channels', 'ColorBinTarget')
        self.num_classes = check_whole(bins, 'bins', 'ColorBinTarget', smallest=2, largest=levels)
        self.stride = check_whole(stride, 'stride', 'ColorBinTarget')
        self.levels = levels
        self.pixels = PixelRange(pixel_range, image_channels, 'ColorBinTarget')

    def forward(self, images: Tensor) -> Tensor:
        """Labels (B, C, H / stride, W / stride) int64 of normalised images (B, C, H, W)."""
        share = self.pixels.to_share(shrink(images, self.stride)) + ROUNDING
        bins: int = self.num_classes  # type: ignore[assignment]
        return (share * ((self.levels - 1) / self.levels * bins)).floor().clamp(0, bins - 1).to(torch.int64)

    def to_images(self, estimate: Tensor, images: Tensor) -> Tensor:
        """The mean of each label's values: labels (B, C, h, w) become normalised images (B, C, H, W)."""
        width = self.levels / self.num_classes  # type: ignore[operator]
        values = (estimate.to(images.dtype) + 0.5) * width - 0.5
        return enlarge(self.pixels.from_share(values / (self.levels - 1)), self.stride)
