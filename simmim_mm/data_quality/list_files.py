"""Lists of files, as ``UnlabelledImages(list_file=...)`` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simmim_mm.atomic import write_atomically


def is_listable(path: str) -> bool:
    """Whether a list of one path a line can hold a path.

    Args:
        path: Relative to the data's folder.
    """
    return not why_unlistable(path)


def why_unlistable(path: str) -> str:
    """Says why a list of one path a line cannot hold a path.

    Args:
        path: Relative to the data's folder.

    Returns:
        The reason; '' if a list can hold it.
    """
    try:
        path.encode('utf-8')
    except UnicodeEncodeError:
        return 'its name is no Unicode'
    # More breaks than our own reader knows: lists are read by other programs too, with str.splitlines among others.
    if len(f'{path}.'.splitlines()) > 1:
        return 'its name has a line break'
    return '' if path == path.rstrip() else 'its name ends with a space'


def write_list(file: str | Path, paths: Sequence[str], heading: str) -> None:
    """Writes a list, whole or not at all.

    Args:
        file: The list file.
        paths: Files, relative to the data's folder; each has to be listable.
        heading: A line that says what it is.
    """
    # A line that begins with '#' or a space would be read as something else.
    lines = [f'# {heading}', *(f'./{path}' if path[0] in '#\ufeff' or path[0].isspace() else path for path in paths)]
    text = '\n'.join(lines) + '\n'
    write_atomically(file, lambda draft: Path(draft).write_text(text, encoding='utf-8'))
