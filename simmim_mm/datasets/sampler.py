"""Samplers whose indices carry seed and epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from mmengine.dataset import DefaultSampler

from simmim_mm.datasets.randomness import Moment, SampleIndex, check_seed
from simmim_mm.registry import DATA_SAMPLERS


class Pace(NamedTuple):
    """How long a training run is.

    Attributes:
        batch_size: Samples of a batch in one process.
        iters_per_epoch: Batches of an epoch.
        max_iters: Batches of the run.
    """

    batch_size: int
    iters_per_epoch: int
    max_iters: int

    def moment(self, epoch: int, position: int) -> Moment:
        """When the sample at a position of an epoch, as one process counts them, is used."""
        iteration = epoch * self.iters_per_epoch + position // self.batch_size
        return Moment(iteration, min(1.0, iteration / max(1, self.max_iters - 1)))


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``, handing out indices from which a sample's randomness follows.

    With it, the crop, flip and mask of a sample depend on (seed, epoch, sample) alone: not on the number of workers, on
    the number of processes, or on timing. Order and sharding are the host's.

    Attributes:
        pace: How long the run is; :class:`~simmim_mm.engine.SampleProgressHook` says it. Then indices carry the moment
            at which the sample is used, for what changes in the course of a run, such as the mask ratio.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_seed(self.seed)
        self.pace: Pace | None = None
        self._num_skipped = 0

    def start_at(self, position: int) -> None:
        """Lets what follows begin later, as for a run that is resumed.

        Args:
            position: Number of indices that this process has used before: of each epoch, or of the endless stream.
        """
        self._num_skipped = position

    def __iter__(self) -> Iterator[int]:
        """Yields this process's share of the epoch's indices."""
        positions = enumerate(super().__iter__())
        for position, index in itertools.islice(positions, self._num_skipped, None):
            moment = None if self.pace is None else self.pace.moment(self.epoch, position)
            yield SampleIndex(index, self.seed, self.epoch, moment=moment)


@DATA_SAMPLERS.register_module()
class InfiniteSeededSampler(SeededSampler):
    """:class:`SeededSampler` for ``IterBasedTrainLoop``: epoch after epoch without an end.

    MMEngine starts a loader that has ended anew, and waits two seconds each time. Processes take turns in one endless
    stream, so that their batches are those of one process, whatever the number of images.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not len(self.dataset):
            raise ValueError('InfiniteSeededSampler has nothing to sample from: the data set is empty')

    def __iter__(self) -> Iterator[int]:
        """Yields this process's share of the endless stream of all epochs' indices."""
        first, begin = divmod(self._num_skipped * self.world_size + self.rank, len(self.dataset))
        stream = itertools.chain.from_iterable(self._all_of(epoch) for epoch in itertools.count(first))
        own = itertools.islice(stream, begin, None, self.world_size)
        if self.pace is None:
            return own
        return (
            SampleIndex(index, index.seed, index.epoch, moment=self.pace.moment(0, position))
            for position, index in enumerate(own, start=self._num_skipped)
        )

    def _all_of(self, epoch: int) -> Iterator[SampleIndex]:
        """All indices of an epoch, those of the other processes too."""
        num = len(self.dataset)
        generator = torch.Generator().manual_seed(self.seed + epoch)  # as the host's sampler draws them
        order = torch.randperm(num, generator=generator).tolist() if self.shuffle else range(num)
        return (SampleIndex(index, self.seed, epoch) for index in order)

    # What MMEngine calls when a run is resumed, with the number of indices that this process has used before.
    skip = SeededSampler.start_at
