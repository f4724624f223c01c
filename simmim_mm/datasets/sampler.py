"""Samplers whose indices carry seed and epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import DefaultSampler

from simmim_mm.datasets.randomness import SampleIndex
from simmim_mm.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``, handing out indices from which a sample's randomness follows.

    With it, the crop, flip and mask of a sample depend on (seed, epoch, sample) alone: not on the number of workers, on
    the number of processes, or on timing. Order and sharding are the host's.
    """

    def __iter__(self) -> Iterator[int]:
        """Yields this process's share of the epoch's indices."""
        for index in super().__iter__():
            yield SampleIndex(index, self.seed, self.epoch)


@DATA_SAMPLERS.register_module()
class InfiniteSeededSampler(SeededSampler):
    """:class:`SeededSampler` for ``IterBasedTrainLoop``: epoch after epoch without an end.

    MMEngine starts a loader that has ended anew, and waits two seconds each time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._num_skipped = 0

    def __iter__(self) -> Iterator[int]:
        """Yields this process's share of all epochs, one after the other."""
        first, begin = divmod(self._num_skipped, self.num_samples)
        for epoch in itertools.count(first):
            self.set_epoch(epoch)
            yield from itertools.islice(super().__iter__(), begin, None)
            begin = 0

    def skip(self, num_samples: int) -> None:
        """Lets the next iteration begin later, as MMEngine asks for when a run is resumed.

        Args:
            num_samples: Indices that this process has used before.
        """
        self._num_skipped = num_samples
