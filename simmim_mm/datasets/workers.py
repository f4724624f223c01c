"""How the loader's workers begin, and how they end."""

from __future__ import annotations

import os
import signal
from types import FrameType

from mmengine.dataset import worker_init_fn
from torch.utils.data import get_worker_info

from simmim_mm.registry import FUNCTIONS

# Seconds in which the main process can finish an iteration and write a checkpoint.
GRACE = 30


@FUNCTIONS.register_module()
def start_worker(worker_id: int, _scope_: str | None = None) -> None:
    """Seeds a worker, and lets it outlive the signals that ask a whole process group to end.

    A cluster sends them to workers too. PyTorch's workers end at once, and take the main process with them before
    :class:`~simmim_mm.engine.PreemptionHook` has written a checkpoint. These go on for half a minute; a second signal
    ends them at once.

    Transforms of other packages draw from the global states, which MMEngine's function seeds. Ours do not.

    Args:
        worker_id: The host's number of the worker.
        _scope_: Unused; see :func:`~simmim_mm.datasets.collate.stack_samples`.
    """
    info = get_worker_info()
    assert info is not None
    # The seed that PyTorch drew for this epoch, where MMEngine's default has that of the run, the same in each.
    drawn = (info.seed - worker_id) % 2**31
    worker_init_fn(worker_id, info.num_workers, int(os.environ.get('RANK', '0')), drawn)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _end_later)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))


def _end_later(number: int, frame: FrameType | None) -> None:
    if signal.alarm(GRACE):  # one was running
        os._exit(0)
