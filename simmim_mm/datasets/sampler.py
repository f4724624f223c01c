"""A sampler whose indices carry seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

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
