"""Examining many files, in several processes."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import cv2
from torch.utils.data import DataLoader, Dataset

from simmim_mm.progress import track

# Files that a process gets at once: enough to make handing over cheap, few enough to stop soon.
CHUNK = 16
# How PyTorch's loader says that a process ended.
DEATHS = ('exited unexpectedly', 'is killed by signal')

T = TypeVar('T')


class Examined(Dataset, Generic[T]):
    """Files, as a data set of what is found in them.

    Args:
        paths: The files.
        examine: What to do with one.
    """

    def __init__(self, paths: Sequence[str], examine: Callable[[str], T]) -> None:
        self.paths = paths
        self.examine = examine

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> T:
        return self.examine(self.paths[index])


def examine_files(paths: Sequence[str], examine: Callable[[str], T], num_workers: int, description: str) -> list[T]:
    """Does something with each file, with a progress bar.

    Args:
        paths: The files.
        examine: What to do with one; has to be picklable.
        num_workers: Processes; 0 for this one alone.
        description: What is being done, for the progress bar.

    Returns:
        What was found, in the order of ``paths``, whatever the number of processes.

    Raises:
        RuntimeError: If a process died.
    """
    files = Examined(paths, examine)
    if num_workers == 0 or len(paths) <= CHUNK:
        return [files[index] for index in track(range(len(paths)), description)]
    loader = DataLoader(files, CHUNK, num_workers=num_workers, collate_fn=list, worker_init_fn=_begin)
    found: list[T] = []
    try:
        found.extend(track(itertools.chain.from_iterable(loader), description, total=len(paths)))
    except RuntimeError as error:
        if not any(text in str(error) for text in DEATHS):
            raise
        place = paths[min(len(found), len(paths) - 1)]
        raise RuntimeError(
            f'a process that reads images died, at {place!r} or soon after it ({error}). Most often memory ran out: '
            'use fewer processes with --workers; or a decoder crashed: --workers 0 shows where'
        ) from error
    return found


def _begin(worker_id: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one ends the others
    cv2.setNumThreads(0)
