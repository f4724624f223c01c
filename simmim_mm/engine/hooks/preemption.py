"""Stopping in order when a cluster asks for it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from simmim_mm.engine.hooks.safe_checkpoint import ROLLING, SafeCheckpointHook, is_due
from simmim_mm.options import check_whole
from simmim_mm.registry import HOOKS

# EX_TEMPFAIL of sysexits.h: to be tried again later.
REQUEUE = 75


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Writes ``latest.pth`` and ends the process when it is sent a signal, as SLURM does before a time limit.

    The iteration that runs is finished first. The exit code is 75, so that a script knows that the run is to be queued
    again, with ``--resume``. A second signal ends the process at once.

    Args:
        signals: Names of the signals.
        interval: Iterations between two looks, with several processes, which have to stop at the same one: each look
            makes them wait for each other.

    Raises:
        ValueError: If a signal is unknown, or ``interval`` is no whole number from 1.
    """

    # Behind the hooks that write checkpoints and logs of the iteration.
    priority = 'LOWEST'

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1'), interval: int = 10) -> None:
        names = [member.name for member in signal.Signals]
        if not isinstance(signals, list | tuple) or any(name not in names for name in signals):
            raise ValueError(f"PreemptionHook: signals={signals!r} must be names of signals, such as ['SIGTERM']")
        check_whole(interval, 'interval', 'PreemptionHook')
        self.signals, self.interval = tuple(signals), interval
        self._received: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Begins to listen."""
        for name in self.signals:
            number = signal.Signals[name]
            self._before[number] = signal.signal(number, self._receive)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stops if a signal came, to this process or another."""
        several = dist.get_world_size() > 1
        if not is_due(runner, self.interval if several else 1):
            return
        if not (self._one_stops() if several else self._received):
            return
        hook = next((hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)), None)
        if hook is None:
            print_log('Stopping without a checkpoint: default_hooks.checkpoint is no SafeCheckpointHook', 'current')
        else:
            hook.save_rolling(runner)
            print_log(f'{self._received or "A signal to another process"}: {ROLLING} is written', 'current')
        self.after_train(runner)
        dist.barrier()
        raise SystemExit(REQUEUE)

    def after_train(self, runner: Runner) -> None:
        """Puts the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._received is not None:
            raise SystemExit(128 + number)
        self._received = name

    def _one_stops(self) -> bool:
        """Whether a signal came to any process. The host waits for the device."""
        asked = torch.tensor(float(self._received is not None))
        dist.all_reduce(asked, op='max')
        return bool(asked)
