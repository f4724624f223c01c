"""Warnings and errors in the text of logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from simmim_mm.report.starts import Start

LEVELS = ('WARNING', 'ERROR', 'CRITICAL')
RECORD = re.compile(r'(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - \S+ - (\w+) - (.*)')
# Of one message; a printed model has hundreds.
MOST_LINES = 12


class LoggedWarning(NamedTuple):
    """A message that was logged once or more.

    Attributes:
        level: ``'WARNING'``, ``'ERROR'`` or ``'CRITICAL'``.
        text: Of one line or more.
        first: When it was logged first, in the machine's time.
        times: How often.
    """

    level: str
    text: str
    first: str
    times: int


def read_warnings(starts: Iterable[Start]) -> list[LoggedWarning]:
    """Collects what is logged as a warning or worse.

    Args:
        starts: Of a run, in the order of time.

    Returns:
        Each message once, the worst first, otherwise in the order of time.
    """
    found: dict[tuple[str, str], LoggedWarning] = {}
    for start in starts:
        for first, level, text in _records(start):
            earlier = found.get((level, text))
            found[level, text] = LoggedWarning(level, text, earlier.first if earlier else first, 1 + _count(earlier))
    return sorted(found.values(), key=lambda warning: warning.level == 'WARNING')


def _count(warning: LoggedWarning | None) -> int:
    return warning.times if warning else 0


def _records(start: Start) -> list[tuple[str, str, str]]:
    """Time, level and text of each."""
    records: list[tuple[str, str, list[str]]] = []
    if not start.log.is_file():
        return []
    inside = False
    with open(start.log, encoding='utf-8', errors='replace') as lines:
        for line in lines:
            match = RECORD.match(line) if inside or any(level in line for level in LEVELS) else None
            if match:
                inside = match[2] in LEVELS
                if inside:
                    records.append((match[1], match[2], [match[3].strip()]))
            elif inside and len(records[-1][2]) < MOST_LINES:
                records[-1][2].append(line.rstrip())
    return [(first, level, '\n'.join(text).rstrip()) for first, level, text in records]
