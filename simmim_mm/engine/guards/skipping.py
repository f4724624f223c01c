"""Steps of an optimiser that are left out on the device, where the flag is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simmim_mm.engine.guards.gradients import local_part


class SkippingStep:
    """Steps of one optimiser, of which some change nothing: no weight, no moment, no count.

    Three ways, the first that applies:

    - Fused optimisers of PyTorch take the flag, as they do from a loss scaler.
    - Where all states are on the device of the flag (momentum, Lion, LARS), they and the weights are copied before the
      step, and chosen from after it.
    - Otherwise (PyTorch's unfused AdamW counts its steps on the host), and on CPUs, the host reads the flag first. On
      an accelerator it waits for it, in each step.

    States that a step made, and that is left out, are removed: PyTorch's fused SGD would leave a momentum of arbitrary
    numbers.

    Args:
        optimizer: The optimiser.
        read: Brings a flag to the host.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, read: Callable[[Tensor], bool]) -> None:
        self.optimizer = optimizer
        self.read = read

    def __call__(self, found: Tensor, **kwargs: Any) -> None:
        """Steps, unless the flag is set.

        Args:
            found: A bool scalar on the device of the parameters.
            **kwargs: Arguments of the optimiser's ``step``.
        """
        if getattr(self.optimizer, '_step_supports_amp_scaling', False):
            self.forgetting_new_states(found, lambda: self._flagged(found, **kwargs))
        elif found.device.type == 'cpu' or self.counts_on_host(found.device):
            if not self.read(found):
                self.optimizer.step(**kwargs)
        else:
            self.forgetting_new_states(found, lambda: self._chosen(found, **kwargs))

    def forgetting_new_states(self, found: Tensor, step: Callable[[], Any]) -> None:
        """Takes a step that may be left out, and then removes the states that it has made.

        Only a step that makes states, the first one, waits for the flag.

        Args:
            found: Whether it is left out.
            step: Takes it.
        """
        state, new = self.optimizer.state, []
        for group in self.optimizer.param_groups:
            new += [each for each in group['params'] if each.grad is not None and each not in state]
        step()
        made = [parameter for parameter in new if state.get(parameter)]
        if made and self.read(found):
            for parameter in made:
                del state[parameter]

    def counts_on_host(self, device: torch.device) -> bool:
        """Whether the optimiser has numbers, or tensors elsewhere, that only the host can put back.

        Args:
            device: Of the parameters.
        """
        return any(
            not isinstance(value, Tensor) or local_part(value).device != device
            for values in self.optimizer.state.values()
            for value in values.values()
            if value is not None
        )

    def _flagged(self, found: Tensor, **kwargs: Any) -> None:
        optimizer: Any = self.optimizer
        optimizer.grad_scale, optimizer.found_inf = None, found.float()
        try:
            optimizer.step(**kwargs)
        finally:
            del optimizer.grad_scale, optimizer.found_inf

    @torch.no_grad()
    def _chosen(self, found: Tensor, **kwargs: Any) -> None:
        parameters = [each for group in self.optimizer.param_groups for each in group['params']]
        tensors = [each for each in parameters if each.grad is not None]
        tensors += [value for values in self.optimizer.state.values() for value in values.values() if value is not None]
        tensors = [local_part(each) for each in tensors]
        before = [each.clone() for each in tensors]
        self.optimizer.step(**kwargs)
        for tensor, old in zip(tensors, before, strict=True):
            choose(found, old, tensor)


@torch.no_grad()
def choose(found: Tensor, old: Tensor, tensor: Tensor) -> None:
    """Puts an old value back where a flag is set.

    By selection: a product with zero would keep a NaN.

    Args:
        found: A bool scalar.
        old: The value to put back.
        tensor: Of the same shape, changed in place.
    """
    torch.where(found, old, tensor, out=tensor)
