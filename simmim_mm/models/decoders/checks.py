"""Checks of what a config says of a decoder."""

from __future__ import annotations

import math
from typing import Any

from simmim_mm.options import check_whole


def check_wholes(values: Any, name: str, owner: str, smallest: int = 1) -> tuple[int, ...]:
    """Checks a list of whole numbers, which may be empty. See :func:`~simmim_mm.options.check_whole`."""
    if not isinstance(values, list | tuple):
        raise ValueError(f'{name}={values!r} of {owner} must be a list of whole numbers from {smallest}')
    return tuple(check_whole(value, f'{name}[{position}]', owner, smallest) for position, value in enumerate(values))


def check_heads(embed_dims: int, num_heads: Any, owner: str) -> int:
    """Checks that the heads of attention share a width evenly.

    Args:
        embed_dims: The width.
        num_heads: What was given.
        owner: Class that it is an argument of.

    Returns:
        The number of heads.

    Raises:
        ValueError: If it is no whole number from 1, or does not divide the width.
    """
    if embed_dims % check_whole(num_heads, 'num_heads', owner):
        raise ValueError(f'num_heads={num_heads} of {owner} does not divide its width, {embed_dims}; change either')
    return num_heads


def check_ratio_above_0(value: Any, name: str, owner: str) -> float:
    """Checks a finite number above 0. See :func:`~simmim_mm.options.check_whole`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f'{name}={value!r} of {owner} must be a number above 0')
    return float(value)
