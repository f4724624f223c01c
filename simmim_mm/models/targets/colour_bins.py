"""Colours as labels, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simmim_mm.models.targets.base import Target, enlarge, shrink, widen
from simmim_mm.models.targets.pixel_range import PixelRange, check_raw_range
from simmim_mm.options import check_whole
from simmim_mm.registry import MODELS

# Far more than the rounding of a normalised pixel in fp32, as a share of the range (seen: 2e-7).
ROUNDING = 2e-6
# Of 16 bits; a level is then 1.5e-5 of the range, which fp32 still tells from the next.
MOST_LEVELS = 65536
# What ranges from 0 to one less than a power of two are of: integers of 8 to 16 bits.
BITS = range(8, 17)


@MODELS.register_module()
class ColorBinTarget(Target):
    """The bin of each channel's value, out of equal bins over the range of pixel values (table 5 of arXiv 2111.09886).

    The value ``v`` of ``levels`` possible ones has the label ``floor(v * bins / levels)``. This is exact for 8-bit and
    16-bit images, though the target sees them normalised, as pixels are rounded to levels first. Without levels, a
    pixel at the share ``s`` of the range has the label ``floor(s * bins)``. Values outside the range get the first or
    last label.

    Args:
        image_channels: Channels of the images. SimMIM finds out this one, the next and ``raw_range``.
        pixel_range: Lowest and highest pixel value of each channel, normalised.
        bins: Labels a channel, from 2 to ``levels``: 8 and 256 in the paper.
        stride: Pixels per side of a position; means over squares are binned where it is above 1. Must divide the
            encoder's stride.
        levels: Possible values of a pixel, equally far from each other, up to 65536. By default it follows from the
            range: 256 for (0, 255), 65536 for (0, 65535), and so on for all integers of 8 to 16 bits; for other ranges
            there are no levels.
        raw_range: Lowest and highest pixel value before the normalisation; found out by SimMIM. None, for not known, is
            taken for 8 bits.

    Raises:
        ValueError: If an argument is out of range, ``levels`` contradicts the range of the pixels, or that is
            not known.
    """

    def __init__(
        self,
        image_channels: int,
        pixel_range: Sequence[Sequence[float]] | None = None,
        bins: int = 8,
        stride: int = 1,
        levels: int | None = None,
        raw_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.levels = _find_levels(levels, check_raw_range(raw_range, 'ColorBinTarget'))
        self.channels = check_whole(image_channels, 'image_channels', 'ColorBinTarget')
        largest = self.levels or MOST_LEVELS
        self.num_classes = check_whole(bins, 'bins', 'ColorBinTarget', smallest=2, largest=largest)
        self.stride = check_whole(stride, 'stride', 'ColorBinTarget')
        self.pixels = PixelRange(pixel_range, image_channels, 'ColorBinTarget')

    def forward(self, images: Tensor) -> Tensor:
        """Labels (B, C, H / stride, W / stride) int64 of normalised images (B, C, H, W)."""
        bins: int = self.num_classes  # type: ignore[assignment]
        if self.levels is None:
            shares = self.pixels.to_share(shrink(images, self.stride)) + ROUNDING
            return (shares * bins).floor().clamp(0, bins - 1).to(torch.int64)
        values = (self.pixels.to_share(images) * (self.levels - 1)).round().clamp(0, self.levels - 1)
        # Whole numbers from here on: sums over squares in float64 (fp32 holds those of 16 bits up to a stride of 16).
        sums = shrink(widen(values), self.stride) * self.stride**2
        return sums.round().to(torch.int64) * bins // (self.levels * self.stride**2)

    def to_images(self, estimate: Tensor, images: Tensor) -> Tensor:
        """The mean of each label's values: labels (B, C, h, w) become normalised images (B, C, H, W)."""
        shares = (estimate.to(images.dtype) + 0.5) / self.num_classes  # type: ignore[operator]
        if self.levels is not None:
            shares = (shares * self.levels - 0.5) / (self.levels - 1)
        return enlarge(self.pixels.from_share(shares), self.stride)


def _find_levels(levels: int | None, raw_range: tuple[float, float] | None) -> int | None:
    """The number of values that pixels can have, as given or as it follows from their range; None for any value."""
    if levels is not None:
        check_whole(levels, 'levels', 'ColorBinTarget', smallest=2, largest=MOST_LEVELS)
    if raw_range is None:
        return levels or 256
    low, high = raw_range
    if low != 0 or high + 1 not in [2**bits for bits in BITS]:
        return levels
    if levels not in (None, high + 1):
        raise ValueError(
            f'levels={levels} of ColorBinTarget contradicts value_range=({low:g}, {high:g}) of data_preprocessor, '
            f'whose pixels have {high + 1:g} levels; delete levels'
        )
    return int(high) + 1
