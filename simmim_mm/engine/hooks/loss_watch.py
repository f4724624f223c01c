"""A loss that rises is warned of."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from simmim_mm.engine.deferred import DeferredBuffer
from simmim_mm.engine.guards.loss_watch import Alarm, LossWatch
from simmim_mm.options import is_number
from simmim_mm.registry import HOOKS

STATE = 'loss_watch'
LOSS = 'train/loss'
# What a loss depends on beside the weights; SampleProgressHook logs them where they change.
CONDITIONS = ('mask_ratio', 'image_height')
ADVICE = {
    'rise': 'If it goes on, the run diverges: go back to a checkpoint before the rise (--resume FILE), with a lower '
    'rate (optim_wrapper.optimizer.lr) or stronger clipping (optim_wrapper.clip_grad.max_norm)',
    'spike': 'One is no harm if the loss comes back; many ask for stronger clipping '
    '(optim_wrapper.clip_grad.max_norm) or a lower rate (optim_wrapper.optimizer.lr), or are images of another kind',
}


@HOOKS.register_module()
class LossWatchHook(Hook):
    """Warns of a training loss that rises, in one step, slowly or as a spike; see :class:`LossWatch` for the rules.

    It looks when the logger has fetched the losses, so that it asks the device for nothing. A change of the mask ratio
    or of the size of images begins a new comparison. What it knows is in checkpoints.

    Args:
        rise: From which share of the loss on a higher level is a rise.
        spike: From which share of the loss on a single value is a spike.

    Raises:
        ValueError: If one of them is no positive number.
    """

    # Behind the logger, before checkpoints.
    priority = 'LOW'

    def __init__(self, rise: float = 0.1, spike: float = 0.5) -> None:
        for name, value in (('rise', rise), ('spike', spike)):
            if not is_number(value) or value <= 0:
                raise ValueError(
                    f'{name}={value!r} of LossWatchHook must be a positive number, a share of the loss such as 0.1'
                )
        self.watch = LossWatch(rise, spike)
        self._num_seen = 0

    def before_train(self, runner: Runner) -> None:
        """Begins with the losses from here on, unless it goes on."""
        self._num_seen = max(self._num_seen, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Looks, if there is something to be seen."""
        scalars = runner.message_hub.log_scalars
        buffer = scalars.get(LOSS)
        if buffer is None or (isinstance(buffer, DeferredBuffer) and not buffer.fetched) or not is_main_process():
            return
        values = buffer.data[0][-(runner.iter + 1 - self._num_seen) :]
        self._num_seen = runner.iter + 1
        named = {name: scalars[f'train/{name}'] for name in CONDITIONS if f'train/{name}' in scalars}
        for alarm in self.watch.look(values, {name: float(scalar.current()) for name, scalar in named.items()}):
            print_log(f'Iteration {runner.iter + 1}: {_describe(alarm)}', logger='current', level=logging.WARNING)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds what it knows."""
        checkpoint[STATE] = {**self.watch.state_dict(), 'num_seen': self._num_seen}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Goes on with what it knew, in a run that is resumed."""
        if runner._resume and STATE in checkpoint:
            self.watch.load_state_dict(checkpoint[STATE])
            self._num_seen = checkpoint[STATE]['num_seen']


def _describe(alarm: Alarm) -> str:
    share = f'{100 * alarm.share:+.0f} %'
    if alarm.kind == 'spike':
        numbers = (
            f'the loss jumped to {alarm.value:.4g}, after {alarm.reference:.4g} ({share}; noise {alarm.noise:.2g})'
        )
    else:
        numbers = (
            f'the loss has risen to {alarm.value:.4g}, from {alarm.reference:.4g} at its best '
            f'({share}; noise {alarm.noise:.2g})'
        )
    return f'{numbers}. {ADVICE[alarm.kind]}. See docs/guards.md'
