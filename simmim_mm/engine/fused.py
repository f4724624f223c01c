"""Optimisers that update all parameters in one pass, where PyTorch has such ones."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import OPTIMIZERS
from torch import nn

# Where PyTorch's fused optimisers are in every version that is supported.
DEVICES = ('cuda', 'cpu')
# Settings of PyTorch's optimisers that say themselves how to update.
CHOICES = ('fused', 'foreach', 'capturable', 'differentiable')


def with_fused(optimizer: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Chooses PyTorch's fused implementation of an optimiser, if the config leaves it open.

    It computes the same, to rounding, reads and writes each parameter once a step, and counts steps on the device:
    under fp16, a step that overflows is left out there, without asking.

    Args:
        optimizer: Config of the optimiser. Any of ``fused``, ``foreach``, ``capturable`` and ``differentiable`` in it
            is left as it is; ``fused=False`` keeps PyTorch's own choice.
        model: Whose parameters it updates, on their device.

    Returns:
        The config, with ``fused=True`` where optimiser, device and types of the parameters have it.
    """
    if any(choice in optimizer for choice in CHOICES):
        return optimizer
    cls = optimizer['type']
    if isinstance(cls, str):
        with OPTIMIZERS.switch_scope_and_registry(None) as registry:
            cls = registry.get(cls)
    of_torch = cls is not None and cls.__module__.startswith('torch.optim')
    if not of_torch or 'fused' not in inspect.signature(cls).parameters:
        return optimizer
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not all(parameter.device.type in DEVICES and parameter.is_floating_point() for parameter in parameters):
        return optimizer
    print_log(f'Optimiser: fused {cls.__name__}', logger='current')
    return {**optimizer, 'fused': True}
