"""What follows from the name of a file alone: which part of a data set it is in, and its randomness."""

from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
from mmengine.logging import print_log

from simmim_mm.options import is_number

SPLITS = ('train', 'held_out')
# A held-out part that is larger or smaller by more than this part of itself is warned of.
MOST_OFF = 0.2


def relative_name(path: str, root: str) -> str:
    """What a file is called below a folder, the same wherever the folder is.

    Args:
        path: The file.
        root: The folder.

    Returns:
        The path relative to the folder, with ``/`` between its parts; outside of the folder, the path as it is.
    """
    inside = os.path.join(root, '')
    if not path.startswith(inside) and os.path.isabs(path):
        inside = os.path.join(os.path.abspath(root), '')
    return os.path.normpath(path.removeprefix(inside)).replace(os.sep, '/')


def name_number(name: str) -> int:
    """A number from 0 to 2 ** 64 - 1 that follows from a name, the same on every machine.

    Args:
        name: Of a file. Accents may be letters of their own or not (as on macOS): the number is the same.
    """
    letters = unicodedata.normalize('NFC', name).encode('utf-8', errors='surrogateescape')
    return int.from_bytes(hashlib.blake2b(letters, digest_size=8).digest(), 'big')


def is_held_out(name: str, share: float) -> bool:
    """Whether a file is in the held-out part.

    It depends on nothing but its name, so files that come or go move no other one, and a larger share holds what a
    smaller one does.

    Args:
        name: See :func:`name_number`.
        share: About which part of all files is held out, 0 to 1.
    """
    return name_number(name) < share * 2**64


def rows_of_part(names: Iterable[str], split: str, held_out: float, root: str) -> np.ndarray:
    """Which files are in a part.

    Args:
        names: Of all files, see :func:`name_number`.
        split: ``'train'`` or ``'held_out'``.
        held_out: See :func:`is_held_out`.
        root: The folder, for the message.

    Returns:
        (N,) their positions among all.

    Raises:
        ValueError: If none is.
    """
    flags = np.array([is_held_out(name, held_out) for name in names])
    rows = np.flatnonzero(flags == (split == 'held_out'))
    if not len(rows):
        use, change = ('validation', 'larger') if split == 'held_out' else ('training', 'smaller')
        raise ValueError(
            f'--held-out {held_out:g} (or held_out={held_out:g} of a data set) leaves none of the {len(flags)} images '
            f'in {root!r} for {use}: names decide, so that few images may all fall into one part; give a {change} '
            'share, or name a folder or a list_file of your own for each part'
        )
    if split == 'held_out':
        _warn_of_another_share(len(rows), len(flags), held_out, root)
    return rows


def _warn_of_another_share(found: int, total: int, share: float, root: str) -> None:
    """Says so where the held-out part is much larger or smaller than was asked for, by more than rounding."""
    difference = abs(found - share * total)
    if difference >= 1 and difference > MOST_OFF * total * min(share, 1 - share):
        print_log(
            f'{found} of the {total} images in {root!r} are held out, which is {100 * found / total:.3g} %; '
            f'--held-out {share:g} (or held_out={share:g} of a data set) asks for {100 * share:.3g} %. The name of a '
            'file alone decides, so that new files move no other one; of few files the share is therefore a rough one. '
            'For an exact one, name a list_file of your own for each part, such as tools/inspect_images.py '
            f'--held-out {share:g} writes',
            logger='current',
            level=logging.WARNING,
        )


def check_split(split: Any, held_out: Any, owner: str) -> None:
    """Checks the options that choose a part.

    Args:
        split: ``'train'``, ``'held_out'``, or None for all.
        held_out: Share of the held-out part, given with ``split`` alone.
        owner: Class that they belong to, for the message.

    Raises:
        ValueError: If they are something else.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split={split!r} of {owner} is unknown; use 'train' or 'held_out', or None for all images")
    if split is None and held_out is not None:
        raise ValueError(
            f'held_out={held_out!r} of {owner} says how much is held out, but not which part this is; add '
            "split='train' or split='held_out'"
        )
    if split is not None and (not is_number(held_out) or not 0 < held_out < 1):
        raise ValueError(
            f'held_out={held_out!r} of {owner} must be a share of the images between 0 and 1, such as 0.02, with '
            f'split={split!r}'
        )
