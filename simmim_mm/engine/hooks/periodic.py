"""Looks at a model every few epochs or iterations, and at its end."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from simmim_mm.options import check_flag, check_whole


class PeriodicHook(Hook):
    """Calls :meth:`act` at an interval, and at the end of training if it was not just called.

    Args:
        interval: How often, in epochs or iterations; 0 for the end of training alone.
        by_epoch: Whether ``interval`` counts epochs.

    Raises:
        ValueError: If an argument is out of range.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 1, by_epoch: bool = True) -> None:
        self.interval = check_whole(interval, 'interval', type(self).__name__, smallest=0)
        self.by_epoch = check_flag(by_epoch, 'by_epoch', type(self).__name__)
        self._last_iter = -1

    @abstractmethod
    def act(self, runner: Runner, num_iters: int) -> None:
        """Looks at the model.

        Args:
            runner: The Runner.
            num_iters: Iterations that are done.
        """

    def before_train(self, runner: Runner) -> None:
        """Checks that what is counted is what the loop counts.

        Raises:
            ValueError: If it is not.
        """
        if self.by_epoch and self.interval and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                f'{type(self).__name__} counts epochs, and train_cfg iterations; set by_epoch=False in the hook'
            )

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Acts, if iterations count."""
        if not self.by_epoch and self.interval and self.every_n_train_iters(runner, self.interval):
            self._act_once(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Acts, if epochs count."""
        if self.by_epoch and self.interval and self.every_n_epochs(runner, self.interval):
            self._act_once(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Acts on the final model."""
        if self._last_iter != runner.iter:
            self._act_once(runner, runner.iter)

    def _act_once(self, runner: Runner, num_iters: int) -> None:
        self._last_iter = num_iters
        self.act(runner, num_iters)


def unwrapped(runner: Runner) -> Any:
    """The model without its wrapper for several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
