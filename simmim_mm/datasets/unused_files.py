"""The list of files that were not used, and its summary."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from simmim_mm.atomic import write_atomically
from simmim_mm.datasets.transforms.kinds import BLANK_USED
from simmim_mm.datasets.transforms.stored import printable

NUM_EXAMPLES = 5
ESCAPES = re.compile(r'\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})')


class UnusedFile(NamedTuple):
    """A line of the list.

    Attributes:
        path: The file, as it is called.
        kind: One of :mod:`simmim_mm.datasets.transforms.kinds`.
        reason: More of the reason, on one line.
    """

    path: str
    kind: str
    reason: str


def escaped(path: str) -> str:
    r"""A path on one line, from which :func:`unescaped` makes the path again.

    Args:
        path: Any.

    Returns:
        The path with ``\\`` in the place of each backslash, and what cannot be printed as Python writes it in a
        string: ``\n``, ``\r``, ``\t``, ``\x85``, ``\u2028``, ``\U000e0001``. A byte that is no UTF-8, such as
        0xff, is ``\udcff`` (as ``os.fsdecode`` reads it).
    """
    return printable(path.replace('\\', '\\\\'))


def unescaped(text: str) -> str:
    """The path that :func:`escaped` was given.

    Args:
        text: What it returned.
    """
    return ESCAPES.sub(lambda match: match[0].encode().decode('unicode_escape'), text)


def append(list_file: str, unused: UnusedFile) -> None:
    """Adds a line to the list: path (as :func:`escaped`), tab, kind, tab, reason.

    Args:
        list_file: A text file; several processes may write to it.
        unused: What to add.
    """
    # One short write at the end of the file: lines of several processes do not mix.
    with open(list_file, 'a', encoding='utf-8', errors='backslashreplace') as file:
        file.write(_line(unused))


def read(list_file: str) -> list[UnusedFile]:
    """Reads the list, each file once, with what was found last.

    Args:
        list_file: See :func:`append`. Missing, it counts as empty; half a line, as a killed process may leave it, is
            left out.
    """
    if not os.path.exists(list_file):
        return []
    with open(list_file, encoding='utf-8', errors='backslashreplace') as file:
        parts = [line.rstrip('\n').split('\t', 2) for line in file]
    found = [UnusedFile(unescaped(part[0]), *part[1:]) for part in parts if len(part) == 3]
    return list({unused.path: unused for unused in found}.values())


def rewrite(list_file: str, files: Sequence[UnusedFile]) -> None:
    """Writes the list anew.

    Args:
        list_file: See :func:`append`.
        files: Its lines.
    """
    text = ''.join(map(_line, files))

    def write(path: str) -> None:
        with open(path, 'w', encoding='utf-8', errors='backslashreplace') as file:
            file.write(text)

    write_atomically(list_file, write)


def _line(unused: UnusedFile) -> str:
    return '\t'.join((escaped(unused.path), unused.kind, unused.reason)) + '\n'


def summary(files: Sequence[UnusedFile], num_files: dict[str, int]) -> dict[str, Any]:
    """Groups files by the kind of their reason.

    Args:
        files: What the list holds.
        num_files: How many files there are, by the use that is made of them.

    Returns:
        ``num_files``; ``num_not_used``; ``num_blank_used``; ``not_used``: for each kind, the most frequent first,
        ``kind``, ``count`` and a few ``examples`` (path and reason). Ready for JSON.
    """
    groups: dict[str, list[UnusedFile]] = {}
    for unused in files:
        groups.setdefault(unused.kind, []).append(unused)
    num_blank_used = len(groups.pop(BLANK_USED, []))
    rows = [
        dict(
            kind=kind,
            count=len(group),
            examples=[dict(path=printable(each.path), reason=each.reason) for each in group[:NUM_EXAMPLES]],
        )
        for kind, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return dict(
        num_files=num_files,
        num_not_used=sum(len(group) for group in groups.values()),
        num_blank_used=num_blank_used,
        not_used=rows,
    )


def summary_text(found: dict[str, Any]) -> str:
    """A summary for a person.

    Args:
        found: See :func:`summary`.

    Returns:
        A line, and one for each kind.
    """
    of = ' and '.join(f'{count} {use}' for use, count in found['num_files'].items())
    lines = [f'Files that were not used: {found["num_not_used"]} (of {of} files)']
    for row in found['not_used']:
        example = row['examples'][0]
        lines.append(f'  {row["count"]} {row["kind"]}, such as {example["path"]}: {example["reason"]}')
    if found['num_blank_used']:
        lines.append(f'  (and {found["num_blank_used"]} blank images were used)')
    return '\n'.join(lines)
