"""Values of all processes, with their gradients."""

from __future__ import annotations

from typing import Any

import torch
from mmengine import dist
from torch import Tensor


def gather_processes(values: Tensor) -> Tensor:
    """Concatenates the values of all processes, and sends the gradients back to where the values came from.

    The gradient that a process receives is the sum over the losses of all processes. With losses that are means over
    equally many rows, and gradients that are then averaged over the processes (as DDP does), the result is exactly the
    gradient of one process that holds all rows.

    Args:
        values: (N, D); the same shape in every process.

    Returns:
        (processes * N, D), by rank; ``values`` itself where there is one process.
    """
    return _Gather.apply(values) if dist.get_world_size() > 1 else values


class _Gather(torch.autograd.Function):
    """The one of torch.distributed.nn is deprecated; its successor is not in all versions that are supported."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.contiguous()
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
        torch.distributed.all_gather(parts, values)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]
