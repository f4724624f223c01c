"""Scales and their marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

# A scale is logarithmic where the highest value is so many times the median.
LOGARITHMIC_FROM = 20


class Axis(NamedTuple):
    """A scale from 0 to 1.

    Attributes:
        low: Value at 0.
        high: Value at 1, above ``low``.
        logarithmic: Whether factors are as long as each other, not differences.
    """

    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self, most: int = 5) -> list[float]:
        """Round values in the range, ascending."""
        if not self.logarithmic:
            return _round_values(self.low, self.high, most)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        every = max(1, math.ceil((last - first + 1) / most))
        powers = [10.0**power for power in range(first, last + 1, every)]
        return powers if len(powers) > 1 else _round_values(self.low, self.high, most)


def value_axis(values: Sequence[float], from_zero: bool = False) -> Axis:
    """A scale for finite values, with a little room at both ends.

    Args:
        values: At least one, finite.
        from_zero: Whether the scale is to begin there, where no value is below.
    """
    low, high = min(values), max(values)
    if from_zero and low >= 0:
        return Axis(0.0, 1.05 * high or 1.0)
    median = sorted(values)[len(values) // 2]
    if low > 0 and high > LOGARITHMIC_FROM * median:
        return Axis(low / 1.1, high * 1.1, logarithmic=True)
    # All but the same: what rounding makes of it is not drawn as a mountain range.
    room = 0.05 * (high - low) if high - low > 1e-9 * abs(high) else 0.05 * abs(high) or 1.0
    return Axis(low - room if low < 0 or low - room >= 0 else 0.0, high + room)


def _round_values(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def short(value: float, digits: int = 4) -> str:
    """A number in few characters, as at a mark: ``0.25``, ``7.5e-4``, ``1200``, ``50k``, ``1.5M``.

    Args:
        value: The number.
        digits: How many there are at most.
    """
    for smallest, size, letter in ((1e9, 1e9, 'G'), (1e6, 1e6, 'M'), (1e4, 1e3, 'k')):
        if smallest <= abs(value) < 1e12:
            return f'{value / size:.{digits}g}{letter}'
    if 0 < abs(value) < 1e-3:
        mantissa, _, power = f'{value:.{digits - 1}e}'.partition('e')
        return f'{float(mantissa):.{digits}g}e{int(power)}'
    return f'{value:.{digits}g}'


def shortest(values: Sequence[float]) -> list[str]:
    """Different numbers in as few characters as tell them apart."""
    for digits in range(4, 16):
        texts = [short(value, digits) for value in values]
        if len({*texts}) == len(texts):
            break
    return texts
