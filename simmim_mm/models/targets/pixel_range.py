"""Where normalised pixels stand in the range of pixel values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.options import is_number


def check_pixel_range(pixel_range: Any, channels: int, owner: str) -> tuple[list[float], list[float]]:
    """Checks lowest and highest values.

    Args:
        pixel_range: What was given.
        channels: Channels of the images (C).
        owner: Whose it is, for the message.

    Returns:
        Two lists of C numbers.

    Raises:
        ValueError: If it is something else.
    """
    sides = list(pixel_range) if isinstance(pixel_range, list | tuple) else []
    fits = len(sides) == 2 and all(
        isinstance(side, list | tuple) and len(side) == channels and all(map(is_number, side)) for side in sides
    )
    if not fits or not all(low < high for low, high in zip(*sides, strict=True)):
        raise ValueError(
            f'pixel_range={pixel_range!r} of {owner} must be two lists of {channels} numbers, lows and then '
            'highs, which are above them; delete it, as it follows from the data_preprocessor'
        )
    return list(sides[0]), list(sides[1])


def check_raw_range(raw_range: Any, owner: str) -> tuple[float, float] | None:
    """Checks lowest and highest value before the normalisation, or None for not known.

    Args:
        raw_range: What was given.
        owner: Whose it is, for the message.

    Returns:
        Two numbers, or None.

    Raises:
        ValueError: If it is something else.
    """
    if raw_range is None:
        return None
    pair = list(raw_range) if isinstance(raw_range, list | tuple) else []
    if len(pair) != 2 or not all(map(is_number, pair)) or pair[0] >= pair[1]:
        raise ValueError(
            f'raw_range={raw_range!r} of {owner} must be (lowest, highest) value of the pixels before they are '
            'normalised; delete it, as it follows from value_range of the data_preprocessor'
        )
    return float(pair[0]), float(pair[1])


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
        lows, highs = check_pixel_range(pixel_range, channels, owner)
        low, high = (torch.tensor(side, dtype=torch.float64).view(1, channels, 1, 1) for side in (lows, highs))
        self.register_buffer('low', low.float(), persistent=False)
        self.register_buffer('span', (high - low).float(), persistent=False)

    def to_share(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) as shares of the range, 0 to 1."""
        return (images - self.low) / self.span

    def from_share(self, shares: Tensor) -> Tensor:
        """Shares of the range (B, C, H, W) as normalised images."""
        return shares * self.span + self.low
