"""The most memory that a step has in use at once.

On CUDA, what PyTorch's allocator says. On CPUs, the same sum is made from the profiler's record of each block that the
allocator hands out and takes back: every tensor and every temporary of PyTorch's own operators, and nothing of the
noise of a resident set. What BLAS libraries keep for themselves is not in it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

MIB = 2**20
# Type of the device -> where figures come from.
SOURCES = {
    'cpu': "bytes that PyTorch's allocator had handed out at once, with parameters and optimiser states",
    'cuda': 'torch.cuda.max_memory_allocated, above what other candidates hold',
}


def peak_above_start(work: Callable[[], Any], device: str = 'cpu') -> int:
    """How far memory in use rises above what is in use before.

    Args:
        work: What is measured. What it allocates and keeps counts.
        device: ``'cpu'`` or ``'cuda'``.

    Returns:
        Bytes.
    """
    gc.collect()
    if device == 'cuda':
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    in_use = peak = 0
    events = [event for event in record.profiler.kineto_results.events() if event.name() == '[memory]']
    for event in sorted(events, key=lambda one: one.start_ns()):
        in_use += event.nbytes()
        peak = max(peak, in_use)
    return peak


def size_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors; what shares memory counts once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def state_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Parameters, buffers and what the optimiser keeps."""
    kept = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return [*model.parameters(), *model.buffers(), *kept]
