"""Faster steps in the train scripts of other packages."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from simmim_mm.acceleration import accelerate, choose_levers
from simmim_mm.registry import HOOKS


@HOOKS.register_module()
class AccelerationHook(Hook):
    """Accelerates the model before a run, as the entry ``acceleration`` of a config does in our own ``train.py``.

    Args:
        preset: See :func:`~simmim_mm.acceleration.accelerate`.
        **levers: See there.

    Raises:
        ValueError: If a preset, a lever or a value is unknown.
    """

    # Before hooks that copy the model (EMAHook), so that the copy is as fast.
    priority = 'VERY_HIGH'

    def __init__(self, preset: str = 'exact', **levers: Any) -> None:
        choose_levers('cpu', preset, **levers)
        self.settings: dict[str, Any] | None = {'preset': preset, **levers}

    def before_run(self, runner: Runner) -> None:
        """Changes the model in place, once."""
        if self.settings is not None:
            accelerate(runner.model, **self.settings)
            self.settings = None
