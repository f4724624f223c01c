"""Whether the gradients of an update are finite, without asking the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine import dist
from torch import Tensor


def local_part(tensor: Tensor) -> Tensor:
    """What this process has of a tensor: of a shard (FSDP2) its rows, of any other all of it."""
    return tensor.to_local() if hasattr(tensor, 'to_local') else tensor


def gradients_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All gradients that an optimiser would use now."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def any_not_finite(gradients: Sequence[Tensor], device: torch.device) -> Tensor:
    """Whether a gradient has a NaN or an infinity, in any process.

    The largest magnitude of each gradient is one pass over it; both propagate into it. Gradients that are averaged over
    processes are the same in all; those of which each process has a part are asked about in all.

    Args:
        gradients: Of any shapes and types.
        device: Theirs, also where there are none.

    Returns:
        A bool scalar on the device.
    """
    locals_ = [part for part in map(local_part, gradients) if part.numel()]
    found = torch.zeros((), dtype=torch.bool, device=device)
    if locals_:
        found = ~torch.isfinite(torch.stack(torch._foreach_norm(locals_, float('inf')))).all()
    if any(hasattr(gradient, 'to_local') for gradient in gradients):
        found = in_any_process(found)
    return found


def in_any_process(flag: Tensor) -> Tensor:
    """Whether a flag is set in any process; queued on the device, so that the host does not wait.

    Args:
        flag: A bool scalar.

    Returns:
        A bool scalar, the same in all processes.
    """
    if dist.get_world_size() == 1:
        return flag
    value = flag.float()
    dist.all_reduce(value, op='max')
    return value > 0
