"""Where normalised pixels stand in the range of pixel values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PixelRange(nn.Module):
    """Maps normalised pixels to shares of the range of pixel values, and back. Not in checkpoints.

    Args:
        pixel_range: Lowest and highest value of each channel, normalised: ``(low, high)`` with C numbers each.
        channels: Channels of the images (C).
        owner: Whose it is, for messages.

    Raises:
        ValueError: If the range is missing or impossible.
    """

    low: Tensor
    span: Tensor

    def __init__(self, pixel_range: Sequence[Sequence[float]] | None, channels: int, owner: str) -> None:
        super().__init__()
        if pixel_range is None:
            raise ValueError(
                f'{owner} needs to know the range of the pixels, which SimMIM takes from normalised_range() of its '
                "data_preprocessor; use data_preprocessor=dict(type='MaskedImagePreprocessor', ...), or give "
                'pixel_range=(lows, highs) to the target, normalised'
            )
        try:
            low, high = (torch.tensor(side, dtype=torch.float64).view(1, channels, 1, 1) for side in pixel_range)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f'pixel_range={pixel_range!r} of {owner} must be two lists of {channels} numbers, lows and highs'
            ) from error
        if not low.is_meta and not bool((torch.isfinite(high - low) & (high > low)).all()):
            raise ValueError(f'pixel_range={pixel_range!r} of {owner} must have highs above the lows')
        self.register_buffer('low', low.float(), persistent=False)
        self.register_buffer('span', (high - low).float(), persistent=False)

    def to_share(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) as shares of the range, 0 to 1."""
        return (images - self.low) / self.span

    def from_share(self, shares: Tensor) -> Tensor:
        """Shares of the range (B, C, H, W) as normalised images."""
        return shares * self.span + self.low
