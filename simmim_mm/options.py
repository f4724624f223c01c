"""Checks of option values that many classes share."""

from __future__ import annotations

import math
from typing import Any


def check_flag(value: bool, name: str, owner: str) -> bool:
    """Checks that an option is True or False.

    Args:
        value: What was given.
        name: The option.
        owner: The class that it belongs to.

    Returns:
        The value.

    Raises:
        ValueError: If it is something else, a number or a string that would count as one included.
    """
    if not isinstance(value, bool):
        raise ValueError(f'{name}={value!r} of {owner} must be True or False')
    return value


def check_text(value: str | None, name: str, owner: str) -> str | None:
    """Checks that an option is a string or None.

    Args:
        value: See :func:`check_flag`, for this and the next two.
        name: The option.
        owner: The class.

    Returns:
        The value.

    Raises:
        ValueError: If it is something else.
    """
    if value is not None and not isinstance(value, str):
        raise ValueError(f'{name}={value!r} of {owner} must be a string, or None')
    return value


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
