"""Lever ``prefetch``: the next batch is copied to the device while the step of this one computes.

The host queues a step and goes on to the next batch at once, as nothing in a step waits for the device. In the stream
of the computation, that batch's copy would begin when the step is done; in a stream of its own it begins when the batch
is there. So no batch is fetched ahead of its turn: what hooks see, what a checkpoint counts, the time that a run waits
for data, and where an error of the loader is raised all stay what they are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.acceleration.cells import HostMaskPreprocessor
from simmim_mm.acceleration.swap import swap_classes
from simmim_mm.models.preprocessor import MaskedImagePreprocessor


def copy_beside(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor to a device, beside what the device computes.

    Args:
        tensor: In pinned memory, or the host waits for the copy. It may be dropped at once.
        device: Where to.

    Returns:
        The copy, for the stream that is current now; the tensor itself if it is there already. On a CPU, where there
        are no streams, it is copied when this returns.
    """
    streams = _streams_of(device)
    computing = streams.current_stream(device)
    copying = _copy_stream(streams, streams.current_device() if device.index is None else device.index)
    with streams.stream(copying):
        # Its memory comes from what belongs to this stream, so there is nothing that the copy would have to wait for.
        copied = tensor.to(device, non_blocking=True)
    if copied is not tensor:
        computing.wait_stream(copying)
        # Or the memory would be free for the next batch as soon as the host drops it, long before the step is done.
        copied.record_stream(computing)
    return copied


def _streams_of(device: torch.device) -> Any:
    """``torch.cuda`` or ``torch.cpu``: the same functions, of which those of CPUs do nothing."""
    return getattr(torch, device.type)


@cache
def _copy_stream(streams: Any, index: Any) -> Any:
    """One for each device; no model holds it, as a stream is neither copied nor saved."""
    return streams.Stream(index)


class _Prefetching(MaskedImagePreprocessor):
    """Mixin: copies in a stream of their own."""

    def cast_data(self, data: Any) -> Any:
        """Brings what the loader collated to the device; see the host's class, which walks through it."""
        if isinstance(data, Tensor) and not torch.compiler.is_compiling():
            return copy_beside(data, self.device)
        return super().cast_data(data)


class PrefetchingPreprocessor(_Prefetching):
    """The preprocessor, which copies the next batch while the step of this one computes."""


class PrefetchingHostMaskPreprocessor(_Prefetching, HostMaskPreprocessor):
    """Likewise, with the lever ``cells``."""


def apply(model: nn.Module, value: Any) -> str:
    """Changes the preprocessor."""
    classes: dict[type[nn.Module], type[nn.Module]] = {
        MaskedImagePreprocessor: PrefetchingPreprocessor,
        HostMaskPreprocessor: PrefetchingHostMaskPreprocessor,
    }
    found = [module for module in model.modules() if type(module) in classes]
    if not found:
        return 'does not apply: the model has no MaskedImagePreprocessor'
    device: Any = found[0].device
    if not hasattr(_streams_of(device), 'Stream'):
        return f'does not apply: PyTorch has no streams for devices of type {device.type}'
    if not swap_classes(model, classes, lambda module: bool(module._non_blocking)):
        return 'does not apply: non_blocking=False of data_preprocessor has each copy waited for'
    return 'the next batch is copied in a stream of its own, while the step of this one computes'
