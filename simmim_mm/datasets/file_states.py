"""What is known of the files of a data set."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.utils.data import get_worker_info

# SOUND: as far as is known. ABSENT: it was not there, and may come back. UNREADABLE: it never will be read.
# BLANK: it is sound and not used. BLANK_USED: it is used all the same.
SOUND, ABSENT, UNREADABLE, BLANK, BLANK_USED = range(5)
READABLE = (SOUND, ABSENT, BLANK_USED)
# Of the loader; more than that share slots.
MAX_WORKERS = 256


class FileStates:
    """What is known of each file, in memory that the workers of the loader share with the main process.

    Nothing that a sample becomes follows from it: whether a file was found unreadable before, by another worker or
    right now, its replacement is the same. It saves opening such files again.

    Args:
        num: How many files.

    Attributes:
        codes: (num,) uint8, SOUND and so on.
    """

    def __init__(self, num: int) -> None:
        self._shared = torch.zeros(num, dtype=torch.uint8).share_memory_()
        # For each worker its process and the file that it opened last, from 1.
        self._opened = torch.zeros(MAX_WORKERS, 2, dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self._shared)

    @property
    def codes(self) -> np.ndarray:
        """The same memory, without PyTorch's microseconds for each value."""
        return self._shared.numpy()

    def may_be_read(self, position: int) -> bool:
        """Whether a file is worth opening."""
        return self.codes[position] in READABLE

    def set(self, position: int, code: int) -> bool:
        """Notes what was found.

        Returns:
            Whether it is news.
        """
        news = self.codes[position] != code
        self.codes[position] = code
        return bool(news)

    def count(self, *codes: int) -> int:
        """How many files are in one of some states."""
        return int(np.isin(self.codes, codes).sum())

    @property
    def num_unreadable(self) -> int:
        """How many files could not be read."""
        return self.count(ABSENT, UNREADABLE)

    def more(self) -> str:
        """What else there is to say where too many files could not be read."""
        num_absent, num_blank = self.count(ABSENT), self.count(BLANK)
        text = f', and {num_blank} are blank' if num_blank else ''
        if num_absent > self.num_unreadable // 2:
            text += f' ({num_absent} of them were not there or out of reach: look whether the storage is mounted)'
        return text

    def opens(self, position: int) -> None:
        """Notes which file this process is about to open, for the case that it does not survive it."""
        worker = get_worker_info()
        slot = self._opened.numpy()[(0 if worker is None else worker.id) % MAX_WORKERS]
        slot[0], slot[1] = os.getpid(), position + 1

    def opened(self) -> dict[int, int]:
        """The position of the file that each process opened last, by process."""
        return {int(process): int(position) - 1 for process, position in self._opened.numpy() if position}
