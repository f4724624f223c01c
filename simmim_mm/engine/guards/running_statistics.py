"""Running statistics of batch norms, which a forward pass changes before anything is known of its numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from simmim_mm.engine.guards.skipping import choose


class RunningStatistics:
    """Lets the batch norms of a model forget a batch: one NaN would stay in their averages for good.

    Args:
        model: With or without batch norms.
    """

    def __init__(self, model: nn.Module) -> None:
        self._norms = [
            module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats
        ]
        self._kept: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def keep(self) -> None:
        """Copies the statistics that a forward pass would change now."""
        buffers = [buffer for norm in self._norms if norm.training for buffer in norm.buffers(recurse=False)]
        self._kept = [(buffer, buffer.clone()) for buffer in buffers]

    def put_back(self, found: Tensor) -> None:
        """Puts them back where a flag is set, on the device.

        Args:
            found: A bool scalar.
        """
        for buffer, old in self._kept:
            choose(found, old, buffer)
        self._kept = []
