"""Updates whose loss or gradients are not finite are left out; the host learns of them without making the device wait.

In the course of an update: :meth:`StepGuard.begin` for each of its batches, :meth:`StepGuard.seed` for each backward
pass, :meth:`StepGuard.step` in place of the optimiser's, and :meth:`StepGuard.settle`, which tells what became of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simmim_mm.engine.guards.gradients import in_any_process, local_part
from simmim_mm.engine.guards.host_values import HostValues
from simmim_mm.engine.guards.running_statistics import RunningStatistics
from simmim_mm.engine.guards.skipping import SkippingStep

# Of an update that gathers the gradients of more batches, the last ones are kept.
MOST_HELD = 16
# A loss scaler halves its factor when gradients overflow, which is normal from 65536 down. Below this the gradients
# overflow by themselves.
LOWEST_SCALE = 1.0


class Part(NamedTuple):
    """A batch of an update.

    Attributes:
        iteration: From 0.
        batch: What the loader handed out.
        finite: Whether its loss was finite.
    """

    iteration: int
    batch: Any
    finite: bool


class Outcome(NamedTuple):
    """What became of an update.

    Attributes:
        iteration: Of its last batch, from 0.
        applied: Whether the weights were changed.
        failed: Whether loss or gradients were not finite. Overflows that a loss scaler is there for do not count.
        parts: Its batches in this process.
        loss_scale: Factor of the loss scaler; 1 without one.
    """

    iteration: int
    applied: bool
    failed: bool
    parts: list[Part]
    loss_scale: float


class _Held:
    def __init__(self, iteration: int, batch: Any) -> None:
        self.iteration, self.batch = iteration, batch
        self.bad: Tensor | None = None


class StepGuard:
    """Watches the updates of one optimiser.

    A loss that is not finite seeds its backward pass with NaN, as some of its gradients could be finite otherwise: the
    gradient of ``abs(NaN)`` is 0 in PyTorch. So gradients tell of losses as well, and as they are averaged over
    processes, all processes leave the same updates out.

    Args:
        optimizer: The optimiser.
        model: Whose parameters it updates.
        report: Is told of each outcome, in all processes at the same time: on CPUs when the update is over, on CUDA
            before the next one changes any weight.

    Attributes:
        later: Whether outcomes are read one update late.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, model: nn.Module, report: Callable[[Outcome], None]) -> None:
        self.report = report
        self.device = local_part(optimizer.param_groups[0]['params'][0]).device
        self.statistics = RunningStatistics(model)
        self.skipping = SkippingStep(optimizer, self._read)
        self._asked = HostValues(1, self.device)
        self._outcome = HostValues(4 + MOST_HELD, self.device)
        self.later = self._outcome.later
        self._held: list[_Held] = []
        self._pending: list[_Held] | None = None

    def begin(self, iteration: int, batch: Any) -> None:
        """Notes the batch that comes next.

        Args:
            iteration: From 0.
            batch: What the loader handed out; kept, not copied, until its outcome is known.
        """
        if not self._held:
            self.statistics.keep()
        self._held.append(_Held(iteration, batch))
        if len(self._held) > MOST_HELD:
            self._held[-MOST_HELD - 1].batch = None

    def seed(self, loss: Tensor) -> Tensor:
        """What a backward pass starts from.

        Args:
            loss: A scalar.

        Returns:
            1, or NaN if the loss is not finite.
        """
        if not self._held:  # an update that no loop has announced
            self.begin(-1, None)
        loss = loss.detach()
        bad = ~torch.isfinite(loss)
        held = self._held[-1]
        held.bad = bad if held.bad is None else held.bad | bad
        return torch.where(bad, torch.full_like(loss, float('nan')), torch.ones_like(loss))

    def step(self, found: Tensor, scaler: torch.amp.GradScaler, **kwargs: Any) -> None:
        """Updates the weights, unless a gradient is not finite.

        Args:
            found: Whether one is not finite, a bool scalar, the same in all processes.
            scaler: Of the loss, before its own update; it leaves out what overflows, by the same rule.
            **kwargs: Arguments of the optimiser's ``step``.
        """
        bad = [held.bad for held in self._held if held.bad is not None]
        any_bad = torch.stack(bad).any() if bad else torch.zeros_like(found)
        failed, scale = found, torch.ones((), device=found.device)
        if scaler.is_enabled():
            scale = scaler.scale(scale)
            failed = found & (in_any_process(any_bad) | (scale < LOWEST_SCALE))
            optimizer = self.skipping.optimizer
            self.skipping.forgetting_new_states(found, lambda: scaler.step(optimizer, **kwargs))
        else:
            self.skipping(found, **kwargs)
        self.statistics.put_back(failed)
        latest = [bad.float() for bad in bad[-MOST_HELD:]]
        self._outcome.put(torch.stack([found.float(), failed.float(), scale, *latest]))
        self._pending, self._held = self._held, []

    def settle(self) -> None:
        """Reports the last update, if that was not done yet."""
        outcome = self.peek()
        self._pending = None
        if outcome is not None:
            self.report(outcome)

    def peek(self) -> Outcome | None:
        """The outcome of the last update, if it was not reported yet; the host waits for it."""
        if self._pending is None:
            return None
        found, failed, scale, *bad = self._outcome.read()
        latest = [held for held in self._pending if held.bad is not None][-MOST_HELD:]
        parts = [Part(held.iteration, held.batch, not flag) for held, flag in zip(latest, bad, strict=True)]
        return Outcome(self._pending[-1].iteration, not found, bool(failed), parts, scale)

    def _read(self, flag: Tensor) -> bool:
        """Brings a flag to the host, which waits for it."""
        self._asked.put(flag.reshape(1))
        return bool(self._asked.read()[0])
