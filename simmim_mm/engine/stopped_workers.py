"""Workers of the data loader that something outside of the run has stopped (SIGSTOP) and not let go on."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from simmim_mm.engine.process_tree import status_of

# Seconds between two looks, at most; a look reads a line of each worker.
PAUSE = 5.0


class StoppedWorkers:
    """Ends workers that are stopped for too long, as nothing else would notice them.

    The time limit of PyTorch's loader counts the seconds until a batch is there. A batch of a worker that is stopped
    may be there already, as the name of memory that the worker hands over when it is asked; then the main process waits
    for the answer, without any limit. When the worker is killed, it gets an error.

    Attributes:
        ended: Processes that were ended.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ended: list[int] = []
        self._done = threading.Event()

    def watch(self) -> None:
        """Looks, until told to end."""
        pause = min(PAUSE, self.seconds / 4)
        limit, looks = math.ceil(self.seconds / pause), Counter[int]()
        # Looks are counted, and no time: whoever stops the whole run (Ctrl-Z) stops this thread too.
        while not self._done.wait(pause):
            stopped = stopped_workers()
            looks = Counter({process: looks[process] + 1 for process in stopped})
            for process in stopped:
                if looks[process] > limit:
                    self.ended.append(process)
                    os.kill(process, signal.SIGKILL)

    def end(self) -> None:
        """Ends the watch."""
        self._done.set()


@contextmanager
def watched_workers(seconds: float) -> Iterator[StoppedWorkers]:
    """Watches the workers of all loaders of this process.

    Args:
        seconds: After which a worker that is stopped is ended; 0 for never.

    Yields:
        What was ended.
    """
    watch = StoppedWorkers(seconds)
    if not seconds:
        yield watch
        return
    thread = threading.Thread(target=watch.watch, name='stopped workers', daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def stopped_workers() -> list[int]:
    """The children of this process that are stopped, by number; none where the system does not tell (``/proc``)."""
    # Not active_children(), which would take the news of their end from PyTorch's handler.
    children = [child.pid for child in list(getattr(multiprocessing.process, '_children', ()))]
    return [process for process in children if process is not None and _is_stopped(process)]


def _is_stopped(process: int) -> bool:
    status = status_of(process)
    return status is not None and status.state == 'T'
