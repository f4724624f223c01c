"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown: the first column to the left, all others to the right.

    Args:
        head: Names of the columns.
        rows: Cells; None is shown as a dash.

    Returns:
        Lines of equal width.
    """
    cells = [[str(name) for name in head], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for row in cells:
        padded = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append(f'| {" | ".join(padded)} |')
    rule = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
    lines.insert(1, f'| {" | ".join(rule)} |')
    return '\n'.join(lines)


def _cell(value: Any) -> str:
    return '-' if value is None else str(value)
