"""What autograd saves, by blocks of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.acceleration.blocks import blocks_of


class Ledger:
    """Books of what autograd saves in a forward pass.

    Args:
        model: Its parameters and buffers do not count.

    Attributes:
        storages: Bytes of each storage, by its identity.
        saved: Those that are kept for the backward pass.
        outside: Those that would be if what is inside blocks were computed again: inputs of blocks included.
        inside: For each block, those that are saved inside it alone.
        block_flops: Operations inside blocks.
    """

    def __init__(self, model: nn.Module) -> None:
        self.blocks = blocks_of(model)
        self.own = {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers()]}
        self.storages: dict[int, int] = {}
        self.saved: set[int] = set()
        self.outside: set[int] = set()
        self.inside: list[set[int]] = []
        self.block_flops = 0
        self._depth = 0
        self._start = 0
        self._alive: list[Tensor] = []  # so that no storage takes the place of another

    @contextmanager
    def watch(self, flops: Callable[[], int] = lambda: 0) -> Iterator[None]:
        """Keeps the books of what runs in this context.

        Args:
            flops: Tells the operations so far.
        """

        def enter(block: nn.Module, args: tuple, kwargs: dict) -> None:
            if self._depth == 0:
                self.outside.update(self._book(value) for value in (*args, *kwargs.values()) if torch.is_tensor(value))
                self.inside.append(set())
                self._start = flops()
            self._depth += 1

        def leave(*_: Any) -> None:
            self._depth -= 1
            if self._depth == 0:
                self.block_flops += flops() - self._start

        def pack(tensor: Tensor) -> Tensor:
            key = self._book(tensor)
            self.saved.add(key)
            (self.inside[-1] if self._depth else self.outside).add(key)
            return tensor

        handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in self.blocks]
        handles += [block.register_forward_hook(leave) for block in self.blocks]
        try:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                yield
        finally:
            for handle in handles:
                handle.remove()
        for inside in self.inside:
            inside -= self.outside

    def bytes_of(self, keys: set[int]) -> int:
        """The size of storages together."""
        return sum(self.storages[key] for key in keys)

    def _book(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        key = storage._cdata
        self.storages[key] = 0 if key in self.own else storage.nbytes()
        self._alive.append(tensor)
        return key
