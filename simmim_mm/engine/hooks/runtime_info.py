"""What is known of a run, without waiting for the device."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from simmim_mm.engine.deferred import defer_scalar
from simmim_mm.registry import HOOKS


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's ``RuntimeInfoHook``, which leaves losses on the device until they are read.

    The host's asks for each loss in each step, and so waits until the device has done all that was queued. What is
    logged is the same.
    """

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keeps what the step returned for the logger."""
        for key, value in (outputs or {}).items():
            if isinstance(value, Tensor):
                defer_scalar(runner.message_hub, f'train/{key}', value)
            else:
                runner.message_hub.update_scalar(f'train/{key}', value)
