"""Scalars that are logged without waiting for the device.

MMEngine asks for the value of each loss in each step, and the host waits until the device has it. Here, values stay on
the device until someone reads them: the logger at its interval, a checkpoint, a hook.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

# Values are fetched unasked when so many wait: nobody seems to read them.
MOST_WAITING = 1000


class DeferredBuffer(HistoryBuffer):
    """MMEngine's history of a scalar, whose newest values are fetched from the device when the history is read.

    Every way of reading or changing it sees all values, in their order. Copies and pickles, as in checkpoints, are
    plain ``HistoryBuffer``.

    Args:
        history: Values and counts so far.
    """

    def __init__(self, history: HistoryBuffer | None = None) -> None:
        self._waiting: list[Tensor] = []
        if history is None:
            super().__init__()
        else:
            super().__init__(*history.data, max_length=history.max_length)

    def defer(self, value: Tensor) -> None:
        """Adds a value to the history, with a count of 1, and does not ask what it is.

        Args:
            value: A tensor of one element, which nobody changes afterwards.
        """
        self._waiting.append(value.detach().reshape(()))
        if len(self._waiting) >= MOST_WAITING:
            self._fetch()

    @property
    def fetched(self) -> bool:
        """Whether all values are on the host, so that reading them costs nothing."""
        return not self._waiting

    @property
    def _log_history(self) -> np.ndarray:
        self._fetch()
        return self._values

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self._values = values

    @property
    def _count_history(self) -> np.ndarray:
        self._fetch()
        return self._counts

    @_count_history.setter
    def _count_history(self, counts: np.ndarray) -> None:
        self._counts = counts

    def _fetch(self) -> None:
        """Brings what waits to the host, in one copy."""
        if not self._waiting:
            return
        values = torch.stack(self._waiting).tolist()
        self._waiting = []
        self._values = np.append(self._values, values)[-self.max_length :]
        self._counts = np.append(self._counts, [1] * len(values))[-self.max_length :]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """That of a plain ``HistoryBuffer``, so that checkpoints do not need this package."""
        return HistoryBuffer(*self.data, max_length=self.max_length).__reduce_ex__(protocol)


def defer_scalar(hub: MessageHub, key: str, value: Tensor) -> None:
    """Does what ``hub.update_scalar(key, value)`` does, but leaves the value on its device until it is read.

    Args:
        hub: The message hub of a run.
        key: Name of the scalar, such as ``'train/loss'``.
        value: A tensor of one element, which nobody changes afterwards.
    """
    hub._set_resumed_keys(key, True)
    buffer = hub.log_scalars.get(key)
    if not isinstance(buffer, DeferredBuffer):  # the first value, or the first after a resume
        buffer = hub.log_scalars[key] = DeferredBuffer(buffer)
    buffer.defer(value)
