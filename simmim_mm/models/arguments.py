"""Checks of numbers that a config sets."""

from __future__ import annotations

import math
from typing import Any


def check_whole(value: Any, name: str, owner: str, smallest: int = 1, largest: int | None = None) -> int:
    """Checks a whole number.

    Args:
        value: What the config says.
        name: Of the argument.
        owner: Class that it belongs to, for the message.
        smallest: Lowest value that is allowed.
        largest: Highest value that is allowed; None for no limit.

    Returns:
        The value.

    Raises:
        ValueError: If it is something else.
    """
    if not is_whole(value) or value < smallest or (largest is not None and value > largest):
        limits = f'from {smallest}' if largest is None else f'from {smallest} to {largest}'
        raise ValueError(f'{name}={value!r} of {owner} must be a whole number {limits}')
    return value


def is_whole(value: Any) -> bool:
    """Whether something is a whole number and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether something is a finite number and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
