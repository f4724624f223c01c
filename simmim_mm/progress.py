"""Progress bars for long work: shown on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar('T')


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterates with a progress bar and an estimate of the time left.

    Nothing is written when standard error is not a terminal.

    Args:
        items: What to iterate over.
        description: What is being done.
        total: Number of items, where ``items`` has no length.

    Yields:
        The items.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if total is None and hasattr(items, '__len__'):
        total = len(items)  # type: ignore[arg-type]
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=description)
