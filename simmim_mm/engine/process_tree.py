"""Processes and what they started, as Linux tells of them (``/proc``)."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import NamedTuple


class Status(NamedTuple):
    """What Linux says of a process.

    Attributes:
        state: A letter, such as ``'S'`` for one that sleeps and ``'T'`` for one that is stopped (``proc(5)``).
        parent: Number of the process that started it, or that it was handed to.
    """

    state: str
    parent: int


def status_of(process: int) -> Status | None:
    """Looks at a process; None if there is none, or the system does not tell."""
    try:
        line = Path(f'/proc/{process}/stat').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    state, parent = line.rpartition(')')[2].split()[:2]  # behind the name, which may hold anything
    return Status(state, int(parent))


def descendants(process: int) -> set[int]:
    """All that a process started, and what these started, whatever group or session they are in."""
    children: dict[int, list[int]] = {}
    for place in Path('/proc').glob('[0-9]*'):
        status = status_of(int(place.name))
        if status is not None:
            children.setdefault(status.parent, []).append(int(place.name))
    found, waiting = set(), [process]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting += new
    return found


def kill_tree(process: int) -> None:
    """Kills a process and all its descendants (SIGKILL), as a machine that loses its power would.

    They are stopped first, so that none starts another one meanwhile. ``torchrun`` gives each process a session of its
    own, so killing its group would leave them at work.
    """
    known: set[int] = set()
    while new := {process, *descendants(process)} - known:
        _send(new, signal.SIGSTOP)
        known |= new
    _send(known, signal.SIGKILL)


def _send(processes: set[int], sent: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, sent)
