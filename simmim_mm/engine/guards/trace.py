"""Where numbers of a step first are not finite."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

# How many tensors before the first one that is not finite are shown.
MOST_BEFORE = 3


class Statistics(NamedTuple):
    """Of the values of a tensor.

    Attributes:
        shape: Of the tensor.
        dtype: Of its values, such as ``'float32'``.
        lowest: The lowest finite value; NaN if there is none.
        highest: The highest finite value.
        num_nan: How many values are NaN.
        num_infinite: How many are infinite.
        num: How many there are.
        images: Numbers of the images of the batch that have others than finite values; None where the first dimension
            is not that of the batch.
    """

    shape: tuple[int, ...]
    dtype: str
    lowest: float
    highest: float
    num_nan: int
    num_infinite: int
    num: int
    images: tuple[int, ...] | None = None

    @property
    def finite(self) -> bool:
        """Whether all values are."""
        return self.num_nan == self.num_infinite == 0


def statistics_of(tensor: Tensor, batch_size: int | None = None) -> Statistics:
    """Looks at the values of a tensor.

    Args:
        tensor: Of any floating-point type.
        batch_size: Images of the batch.

    Returns:
        The statistics.
    """
    values = tensor.detach()
    finite = torch.isfinite(values)
    kept = values[finite]
    low, high = (kept.min().item(), kept.max().item()) if len(kept) else (float('nan'), float('nan'))
    num_nan = int(values.isnan().sum())
    images = None
    if batch_size is not None and values.ndim and len(values) == batch_size:
        images = tuple((~finite.flatten(1).all(dim=1) if values.ndim > 1 else ~finite).nonzero().flatten().tolist())
    num_infinite = values.numel() - len(kept) - num_nan
    return Statistics(
        tuple(values.shape), str(values.dtype)[6:], low, high, num_nan, num_infinite, values.numel(), images
    )


class Seen(NamedTuple):
    """A tensor of a step.

    Attributes:
        what: Which one, such as ``'output of backbone.stages.0'``.
        statistics: Of its values.
    """

    what: str
    statistics: Statistics


class Trace:
    """Looks at the inputs and outputs of all modules of a model, and at their gradients, in the order of computation.

    Args:
        model: The model.

    Attributes:
        first: The first tensor of the forward pass that is not finite; None if all are.
        first_gradient: The first one of the backward pass.
        before: The last ones before :attr:`first`, or of the whole forward pass.
        largest: The finite output of a module with the largest magnitude.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.first: Seen | None = None
        self.first_gradient: Seen | None = None
        self.before: deque[Seen] = deque(maxlen=MOST_BEFORE)
        self.largest: Seen | None = None

    @contextmanager
    def watching(self, batch_size: int) -> Iterator[None]:
        """Looks at what is computed in this context.

        Args:
            batch_size: Images of the batch.
        """
        handles = []
        for name, module in self.model.named_modules():
            if name and module is not getattr(self.model, 'data_preprocessor', None):
                handles.append(module.register_forward_pre_hook(self._inputs(name, batch_size), with_kwargs=True))
                handles.append(module.register_forward_hook(self._outputs(name, batch_size)))
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                handles.append(parameter.register_hook(self._gradient(f'gradient of {name}', None)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def see(self, what: str, tensor: Tensor, batch_size: int | None = None) -> None:
        """Notes a tensor of the forward pass.

        Args:
            what: See :class:`Seen`.
            tensor: Of any type.
            batch_size: Images of the batch.
        """
        if self.first is not None or not tensor.is_floating_point():
            return
        seen = Seen(what, statistics_of(tensor, batch_size))
        if not seen.statistics.finite:
            self.first = seen
            return
        self.before.append(seen)
        if what.startswith('output') and (self.largest is None or _magnitude(seen) > _magnitude(self.largest)):
            self.largest = seen

    def _inputs(self, name: str, batch_size: int) -> Any:
        def look(module: nn.Module, args: Any, kwargs: Any) -> None:
            for tensor in _tensors((args, kwargs)):
                # Finite ones were seen where they were made; others come from what is between modules.
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    self.see(f'input of {name}', tensor, batch_size)

        return look

    def _outputs(self, name: str, batch_size: int) -> Any:
        def look(module: nn.Module, args: Any, output: Any) -> None:
            for tensor in _tensors(output):
                self.see(f'output of {name}', tensor, batch_size)
                if tensor.requires_grad:
                    tensor.register_hook(self._gradient(f'gradient of the output of {name}', batch_size))

        return look

    def _gradient(self, what: str, batch_size: int | None) -> Any:
        def look(gradient: Tensor) -> None:
            if self.first_gradient is None and not torch.isfinite(gradient).all():
                self.first_gradient = Seen(what, statistics_of(gradient, batch_size))

        return look


def _magnitude(seen: Seen) -> float:
    return max(abs(seen.statistics.lowest), abs(seen.statistics.highest))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
