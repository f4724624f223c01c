"""A word when training waits for its data."""

from __future__ import annotations

import logging
import time
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from simmim_mm.datasets.transforms.jpeg import simplejpeg
from simmim_mm.environment import num_cores
from simmim_mm.options import check_whole, is_number
from simmim_mm.registry import HOOKS


@HOOKS.register_module()
class DataWaitHook(Hook):
    """Warns once when a large share of the time is spent on waiting for the next batch, and says what helps.

    What is counted is the time from the end of an iteration, its hooks included, to the next batch. (``data_time`` of
    MMEngine's ``IterTimerHook`` holds checkpoints that were written in between, too.) The first window is left out, as
    workers start in it. Accelerators compute while the host waits, so there the share is an upper limit of what a
    faster loader gains; that the loader is what the run waits for holds all the same.

    It only looks: nothing of the run follows from it, and a resumed run looks anew.

    Args:
        threshold: Share of the time, above 0 and below 1.
        window: Iterations over which the share is taken.

    Raises:
        ValueError: If an argument is out of range.
    """

    # Behind all that takes time after an iteration.
    priority = 'LOWEST'

    def __init__(self, threshold: float = 0.2, window: int = 100) -> None:
        if not is_number(threshold) or not 0 < threshold < 1:
            raise ValueError(
                f'threshold={threshold!r} of DataWaitHook must be a share above 0 and below 1, such as 0.2'
            )
        self.threshold = threshold
        self.window = check_whole(window, 'window', 'DataWaitHook')
        self._restart()

    def _restart(self) -> None:
        self._num_iters, self._warned = 0, False
        self._waited = self._whole = 0.0
        self._since = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Begins to count."""
        self._restart()

    def before_train_epoch(self, runner: Runner) -> None:
        """Leaves out what happened since the last epoch."""
        self._since = time.monotonic()

    def after_val(self, runner: Runner) -> None:
        """Leaves out a validation."""
        self._since = time.monotonic()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """A batch is there."""
        self._waited += time.monotonic() - self._since

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Looks at the sums at the end of each window but the first."""
        now = time.monotonic()
        self._whole += now - self._since
        self._since = now
        self._num_iters += 1
        if self._num_iters % self.window:
            return
        share = self._waited / self._whole if self._whole else 0.0
        if share > self.threshold and not self._warned and self._num_iters > self.window and is_main_process():
            self._warned = True
            print_log(
                f'Training waited for data during {100 * share:.0f} % of the last {self.window} iterations '
                f'({self._waited / self.window:.3f} of {self._whole / self.window:.3f} s each). What helps: '
                f'{"; ".join(_advice(runner.train_dataloader))}. docs/performance.md says how to measure the loader',
                logger='current',
                level=logging.WARNING,
            )
        self._waited = self._whole = 0.0


def _advice(loader: DataLoader) -> list[str]:
    cores, workers = num_cores(), loader.num_workers
    advice = []
    if workers < cores:
        advice.append(
            f'more workers: train_dataloader.num_workers is {workers}, and this process may use {cores} cores'
        )
    if simplejpeg is None:
        advice.append('a faster decoder of JPEG files: pip install simplejpeg')
    if workers and not loader.persistent_workers:
        advice.append('train_dataloader.persistent_workers=True, so that workers do not start anew in each epoch')
    advice.append(
        'files on a local disk or in shards (tools/pack_shards.py), if the cores are idle and the storage is slow'
    )
    advice.append('images that are stored not much larger than the crop, if the cores are busy')
    return advice
