"""How the loader's workers begin, and how they end."""

from __future__ import annotations

import os
import random
import signal
from types import FrameType

import numpy as np
from torch.utils.data import get_worker_info

from simmim_mm.registry import FUNCTIONS

# Seconds in which the main process can finish an iteration and write a checkpoint.
GRACE = 30


@FUNCTIONS.register_module()
def start_worker(worker_id: int) -> None:
    """Seeds a worker, and lets it outlive the signals that ask a whole process group to end.

    A cluster sends them to workers too. PyTorch's workers end at once, and take the main process with them before
    :class:`~simmim_mm.engine.PreemptionHook` has written a checkpoint. These go on for half a minute; a second signal
    ends them at once.

    Transforms of other packages draw from the global states, which are seeded as PyTorch recommends. Ours do not.

    Args:
        worker_id: The host's number of the worker.
    """
    info = get_worker_info()
    assert info is not None
    seed = (info.seed + int(os.environ.get('RANK', '0'))) % 2**32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the global state is what others draw from)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _end_later)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))


def _end_later(number: int, frame: FrameType | None) -> None:
    if signal.alarm(GRACE):  # one was running
        os._exit(0)
