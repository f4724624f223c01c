"""How fast a run goes, and whether it waits for its data."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import Runner

from simmim_mm.engine.log_moments import is_logged
from simmim_mm.registry import HOOKS

NAMES = ('images_per_s', 'data_wait', 'host_memory')


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs ``images_per_s``, ``data_wait`` and ``host_memory``.

    - ``images_per_s``: images of all processes in a second of wall time, from one logged iteration to the next.
      Checkpoints and pictures are part of that time, validation is not. An iteration that gathers gradients counts as
      any other.
    - ``data_wait``: share of that time, 0 to 1, in which processes waited for the loader, on average over them. A GPU
      may still have been at work meanwhile, on what was queued before.
    - ``host_memory``: what the first process has in RAM, in MiB, without the workers of its loader. That of the GPU is
      MMEngine's ``memory``.

    They end where the batch of the logged iteration arrives. So nothing waits for the device, and of the first
    iteration of a start there is no rate. A resumed run begins anew.
    """

    # Behind all others: what they do after an iteration is no waiting for data.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._began: float | None = None
        self._idle_since = 0.0
        self._images = 0
        self._waited = 0.0
        self._validated = 0.0
        self._validation_began = 0.0

    def before_train(self, runner: Runner) -> None:
        """Begins anew; what a checkpoint says of another start is dropped."""
        self._began = None
        for name in NAMES:
            runner.message_hub.log_scalars.pop(f'train/{name}', None)

    def before_train_epoch(self, runner: Runner) -> None:
        """Begins to wait for the first batch of the epoch."""
        self._idle_since = time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Counts, and hands the rates to the logger if the iteration will be logged."""
        now = time.perf_counter()
        if self._began is None:
            self._begin(now)
        else:
            self._waited += now - self._idle_since
            if is_logged(runner, batch_idx):
                self._publish(runner, now)
                self._begin(now)
        self._images += (
            len(data_batch['inputs']) if isinstance(data_batch, dict) else runner.train_dataloader.batch_size
        )

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Begins to wait for the next batch."""
        self._idle_since = time.perf_counter()

    def before_val(self, runner: Runner) -> None:
        """Begins to leave time out."""
        self._validation_began = time.perf_counter()

    def after_val(self, runner: Runner) -> None:
        """Begins to wait again."""
        self._idle_since = time.perf_counter()
        self._validated += self._idle_since - self._validation_began

    def _begin(self, now: float) -> None:
        self._began, self._images, self._waited, self._validated = now, 0, 0.0, 0.0

    def _publish(self, runner: Runner, now: float) -> None:
        assert self._began is not None
        seconds = now - self._began - self._validated
        rate, waited, processes = self._images / seconds, self._waited / seconds, dist.get_world_size()
        if processes > 1:
            sums = torch.tensor([rate, waited], dtype=torch.float64)
            dist.all_reduce(sums)
            rate, waited = sums.tolist()
        for name, value in zip(NAMES, (rate, waited / processes, _resident_mib()), strict=True):
            if value is not None:
                runner.message_hub.update_scalar(f'train/{name}', value)


def _resident_mib() -> float | None:
    """What this process has in RAM; None where the system does not say."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20
