"""The folder that results go to, and which files in it are those of an earlier inspection."""

from __future__ import annotations

import os
import re
from pathlib import Path

from simmim_mm.output_folder import make_output_folder
from simmim_mm.overwriting import refuse_to_overwrite

# How each file begins, by which one that somebody else wrote is told apart.
_LIST = re.compile(rb'# \d+ files, relative to ')
LISTS = ('clean.txt', 'train.txt', 'held_out.txt')
BEGINNINGS = {
    **dict.fromkeys(LISTS, _LIST),
    'findings.json': re.compile(rb'\{\s*"folder": '),
    'report.html': re.compile(rb'<!DOCTYPE html>[^\0]{,300}?<title>Images in '),
}


def list_heading(number: int, folder: str) -> str:
    """The first line of a list, without its ``#``.

    Args:
        number: Of the files.
        folder: What they are relative to.
    """
    return f'{number} files, relative to {folder!r}'


def make_folder(path: str, list_file: str | None = None) -> None:
    """Makes the folder that results go to, before the work begins.

    Args:
        path: The folder.
        list_file: The list of the files to inspect, where there is one.

    Raises:
        ValueError: If there can be none, nothing can be written into it, or a file would be overwritten that is no
            result of an earlier inspection, or that is ``list_file``.
    """
    make_output_folder(path)
    foreign = [name for name in BEGINNINGS if os.path.lexists(os.path.join(path, name)) and not _is_ours(path, name)]
    if foreign:
        raise ValueError(
            f'--out {path!r} holds {", ".join(foreign)}, which inspect_images.py did not write and would overwrite; '
            'name another folder'
        )
    for name in LISTS:
        refuse_to_overwrite(os.path.join(path, name), 'the list in --out', [] if list_file is None else [list_file])


def remove_lists(path: str | Path) -> None:
    """Removes the lists of an earlier inspection, which do not fit what is found now.

    Args:
        path: The folder, looked at by :func:`make_folder`.
    """
    for name in LISTS:
        (Path(path) / name).unlink(missing_ok=True)


def _is_ours(folder: str, name: str) -> bool:
    try:
        with open(os.path.join(folder, name), 'rb') as file:
            return BEGINNINGS[name].match(file.read(1000)) is not None
    except OSError:  # a folder, or a link to nothing
        return False
