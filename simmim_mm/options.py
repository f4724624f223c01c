"""Checks of option values that many classes share."""

from __future__ import annotations


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
