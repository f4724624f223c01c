"""Mean, deviation and range of pixels: what follows from what, and what cannot be."""

from __future__ import annotations

import math
from collections.abc import Sequence

EIGHT_BIT = (0.0, 255.0)
# Of ImageNet's RGB photographs, in units of 0 to 255.
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def statistics(
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    channels: int | None,
    value_range: tuple[float, float],
    stored_values: bool,
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, as they were given or as they follow.

    Args:
        mean: As given, or None.
        std: As given, or None.
        channels: As given, or None.
        value_range: Lowest and highest value of pixels.
        stored_values: Whether the range was given.

    Returns:
        Both, a number a channel.

    Raises:
        ValueError: If they do not fit each other or the range.
    """
    low, high = value_range
    for given in (mean, std):
        if given is not None and (not isinstance(given, Sequence) or isinstance(given, str)):
            raise ValueError(f'mean={mean!r} and std={std!r} of data_preprocessor must be lists, a number a channel')
    lengths = [number for number in (channels, *(len(each) for each in (mean, std) if each is not None)) if number]
    number = lengths[0] if lengths else 3
    imagenet = number == 3 and not stored_values
    if mean is None:
        mean = IMAGENET_MEAN if imagenet else [(low + high) / 2] * number
    if std is None:
        std = IMAGENET_STD if imagenet else [(high - low) / 4] * number
    mean, std = list(mean), list(std)
    if not all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in mean + std
    ):
        raise ValueError(f'mean={mean} and std={std} of data_preprocessor must be lists of finite numbers')
    if not mean or len(mean) != len(std):
        raise ValueError(
            f'data_preprocessor has {len(mean)} means and {len(std)} stds; give one of each for every channel'
        )
    if len(mean) != number:
        raise ValueError(
            f'channels={number} of data_preprocessor contradicts its {len(mean)} means and stds; give {number} of '
            'each, or write mean=None, std=None beside channels'
        )
    if not all(value > 0 for value in std):
        raise ValueError(
            f'std={std} of data_preprocessor must be above 0 in every channel (units: {low:g} to {high:g})'
        )
    if not stored_values and max(map(abs, mean)) <= 1 and max(std) < 1:
        raise ValueError(
            f'mean={mean} and std={std} of data_preprocessor look like units of 0 to 1; give them in units of '
            '0 to 255, or for images that hold such values say so with value_range=(0, 1)'
        )
    _check_units(mean, std, value_range)
    return mean, std


def _check_units(mean: list[float], std: list[float], value_range: tuple[float, float]) -> None:
    low, high = value_range
    if not all(low <= value <= high for value in mean) or max(std) > high - low:
        raise ValueError(
            f'mean={mean} and std={std} of data_preprocessor do not fit values of {low:g} to {high:g}; give the range '
            'of the values, such as value_range=(0, 65535), and mean and std in its units'
        )
    if value_range != EIGHT_BIT and tuple(mean) == IMAGENET_MEAN and tuple(std) == IMAGENET_STD:
        raise ValueError(
            f'mean and std of data_preprocessor are those of ImageNet in units of 0 to 255, but value_range is '
            f'{value_range}; write mean=None, std=None beside value_range, or those of your images'
        )


def check_channels_number(channels: int | None) -> int | None:
    """Checks a number of channels, or None.

    Raises:
        ValueError: If it is something else.
    """
    if channels is not None and (not isinstance(channels, int) or isinstance(channels, bool) or channels < 1):
        raise ValueError(f'channels={channels!r} of data_preprocessor must be a whole number from 1')
    return channels


def check_range(value_range: Sequence[float]) -> tuple[float, float]:
    """Checks a range of values.

    Returns:
        (lowest, highest)

    Raises:
        ValueError: If it is something else.
    """
    if (
        not isinstance(value_range, Sequence)
        or isinstance(value_range, str)
        or len(value_range) != 2
        or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in value_range)
        or not all(map(math.isfinite, value_range))
        or not value_range[0] < value_range[1]
    ):
        raise ValueError(
            f'value_range={value_range!r} of data_preprocessor must be (lowest, highest), such as (0, 65535)'
        )
    return float(value_range[0]), float(value_range[1])
