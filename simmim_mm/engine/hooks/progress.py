"""How far a run is, on a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from simmim_mm.engine.log_moments import is_logged
from simmim_mm.live_line import LiveLine, can_show_live_line
from simmim_mm.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iteration, epoch, loss, images a second, time left, waiting for data and memory in one line that changes.

    It is shown by the first process where standard error is a terminal; log lines appear above it. Elsewhere, and with
    ``TERM=dumb``, there are log lines alone. ``NO_COLOR`` takes the colours away. Loss and speed are those of the last
    log line: nothing is asked of the device for it.
    """

    # Behind LoggerHook, which has fetched by then what is shown.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._display: LiveLine | None = None
        self._logged: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Begins to show, where that is possible."""
        self._logged = []
        if self._display is None and dist.is_main_process() and can_show_live_line():
            self._display = LiveLine()
            self._display.open()
            self._show(runner, runner.iter, at_once=True)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Counts on; takes new figures if the iteration was logged."""
        if self._display is None:
            return
        logged = is_logged(runner, batch_idx)
        if logged:
            self._logged = _figures(runner)
        self._show(runner, runner.iter + 1, at_once=logged)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Says how far the validation is."""
        if self._display is not None:
            total = len(runner.val_dataloader)
            facts = [f'validation {batch_idx + 1}/{total}', *_position(runner, runner.iter)]
            self._display.show((batch_idx + 1) / total, facts)

    def after_train(self, runner: Runner) -> None:
        """Gives the terminal back."""
        self.close()

    def close(self) -> None:
        """Gives the terminal back, in the middle of a run too; may be called again."""
        if self._display is not None:
            self._display.close()
            self._display = None

    def _show(self, runner: Runner, done: int, at_once: bool) -> None:
        assert self._display is not None
        eta = runner.message_hub.runtime_info.get('eta')
        left = [] if eta is None else [f'eta {datetime.timedelta(seconds=int(eta))}']
        facts = [*_position(runner, done), *left, *self._logged]
        self._display.show(done / max(1, runner.max_iters), facts, at_once)


def close_progress(runner: Runner) -> None:
    """Gives the terminal back after whatever ended a run.

    Args:
        runner: The Runner.
    """
    for hook in runner.hooks:
        if isinstance(hook, ProgressHook):
            hook.close()


def _position(runner: Runner, done: int) -> list[str]:
    facts = [f'{done}/{runner.max_iters}']
    if not isinstance(runner.train_loop, IterBasedTrainLoop):
        facts.append(f'epoch {min(runner.epoch + 1, runner.max_epochs)}/{runner.max_epochs}')
    return facts


def _figures(runner: Runner) -> list[str]:
    """What the log has, in the order of its weight."""
    scalars = runner.message_hub.log_scalars
    facts = []
    if 'train/loss' in scalars:
        facts.append(f'loss {scalars["train/loss"].mean(runner.log_processor.window_size):.4g}')
    if 'train/images_per_s' in scalars:
        facts.append(f'{scalars["train/images_per_s"].current():.4g} images/s')
    if 'train/data_wait' in scalars:
        facts.append(f'data wait {100 * scalars["train/data_wait"].current():.0f} %')
    if torch.cuda.is_available():
        facts.append(f'{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB')  # counted by the host
    elif 'train/host_memory' in scalars:
        facts.append(f'{scalars["train/host_memory"].current() / 1024:.1f} GiB')
    return facts
