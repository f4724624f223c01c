"""Keeping what is read from being written over."""

from __future__ import annotations

import os
from collections.abc import Iterable


def refuse_to_overwrite(out: str | os.PathLike, option: str, inputs: Iterable[str | os.PathLike]) -> None:
    """Looks whether a file to write is one of those that are read, under whatever path or link.

    Args:
        out: The file to write; it need not be there.
        option: What it was given as, for the message.
        inputs: Files that are read; those that are not there do not count.

    Raises:
        ValueError: If it is.
    """
    if not os.path.exists(out):
        return
    for path in inputs:
        if os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(
                f'{option} {os.fspath(out)!r} is {os.fspath(path)!r}, which is read and would be overwritten; name '
                'another file to write'
            )
