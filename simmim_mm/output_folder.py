"""The folder that a tool writes to."""

from __future__ import annotations

import os


def make_output_folder(path: str) -> None:
    """Makes a folder to write to, before the work begins.

    Args:
        path: What ``--out`` names.

    Raises:
        ValueError: If there can be none, or nothing can be written into it.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueError(f'--out {path!r} cannot be made: {error.strerror}; name another folder') from error
    if not os.access(path, os.W_OK):
        raise ValueError(f'--out {path!r} cannot be written to; name another folder')
