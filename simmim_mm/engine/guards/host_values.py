"""A few numbers of the device that the host reads later."""

from __future__ import annotations

import torch
from torch import Tensor


class HostValues:
    """A place on the host for numbers of the device.

    On CUDA it is pinned memory: the copy is queued behind what makes the numbers, and :meth:`read` waits for it alone,
    not for what was queued since.

    Args:
        size: How many numbers at most.
        device: Where they come from.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.later = device.type == 'cuda'
        self._place = torch.zeros(size, pin_memory=self.later)
        self._values = self._place.numpy()  # the same memory
        self._event = torch.cuda.Event() if self.later else None
        self._size = 0

    def put(self, values: Tensor) -> None:
        """Begins to bring numbers to the host.

        Args:
            values: (N,) of any type, N at most ``size``; what was there before must have been read.
        """
        self._size = len(values)
        self._place[: self._size].copy_(values, non_blocking=True)
        if self._event is not None:
            self._event.record()

    def read(self) -> list[float]:
        """The numbers; the host waits until they are there."""
        if self._event is not None:
            self._event.synchronize()
        return self._values[: self._size].tolist()
