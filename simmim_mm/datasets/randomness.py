"""Augmentation and masks as functions of (seed, epoch, sample), whatever the number of workers or processes.

The sampler hands out a :class:`SampleIndex`, an ``int`` that carries seed and epoch. The data set turns it into a
``numpy.random.Generator`` for one sample, which travels through the pipeline as ``results['rng']``. Transforms of other
packages draw from the global states of Python, NumPy and PyTorch, so these are seeded for the duration of the sample
too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import get_worker_info

from simmim_mm.datasets.file_names import name_number


class Moment(NamedTuple):
    """When in a training run a sample is used.

    Attributes:
        iteration: Of the training loop, from 0; the same for all samples of a batch, in all processes.
        progress: Share of the run that has passed: 0 at the first iteration, 1 at the last.
    """

    iteration: int
    progress: float


class SampleIndex(int):
    """Index of a sample that carries the seed and the epoch it is drawn in.

    The host's wrappers compute with indices: ``RepeatDataset`` takes the remainder, ``ConcatDataset`` subtracts. The
    result carries seed and epoch on, and the index that it comes from, so that repetitions of an image differ.

    Attributes:
        seed: The sampler's.
        epoch: The sampler's.
        drawn: The index that the sampler handed out.
        moment: When in the run the sample is used; None where the sampler was not told how long the run is.
    """

    seed: int
    epoch: int
    drawn: int
    moment: Moment | None

    def __new__(
        cls, index: int, seed: int, epoch: int, drawn: int | None = None, moment: Moment | None = None
    ) -> SampleIndex:
        """Makes an index that carries ``seed``, ``epoch`` and ``moment``."""
        self = super().__new__(cls, index)
        self.seed = seed
        self.epoch = epoch
        self.drawn = int(index if drawn is None else drawn)
        self.moment = moment
        return self

    def at(self, index: int) -> SampleIndex:
        """Another sample's index, with the rest as it is."""
        return SampleIndex(index, *self.__getnewargs__()[1:])

    def __getnewargs__(self) -> tuple[int, int, int, int, Moment | None]:  # type: ignore[override]
        return int(self), self.seed, self.epoch, self.drawn, self.moment

    def __mod__(self, other: int) -> SampleIndex:
        return self.at(int(self) % other)

    def __sub__(self, other: int) -> SampleIndex:
        return self.at(int(self) - other)


def check_seed(seed: int) -> int:
    """Checks a seed.

    Args:
        seed: A whole number from 0.

    Returns:
        The seed.

    Raises:
        ValueError: If it is something else.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f'seed={seed!r} must be a whole number from 0')
    return int(seed)


def sample_rng(index: int, name: str | None = None) -> np.random.Generator:
    """The generator of one sample.

    Args:
        index: A :class:`SampleIndex`. A plain integer (from a sampler of another package) takes its entropy from
            NumPy's global state, which MMEngine seeds per worker.
        name: For randomness that follows from the seed and this name alone, whatever position and epoch are; the seed
            of a plain integer is then 0.

    Returns:
        A fresh generator.
    """
    if name is not None:
        return np.random.default_rng((getattr(index, 'seed', 0), name_number(name)))
    if isinstance(index, SampleIndex):
        return np.random.default_rng((index.seed, index.epoch, index.drawn))
    return rng_of({})


def sample_facts(index: int, name: str | None = None) -> dict[str, Any]:
    """What a data set adds to a sample for the transforms.

    Args:
        index: What the sampler handed out.
        name: See :func:`sample_rng`.

    Returns:
        ``rng``, the sample's generator. With a :class:`SampleIndex` that has a moment also ``progress`` (share of the
        run that has passed) and ``batch`` (seed and iteration, the same for all samples of a batch).
    """
    facts: dict[str, Any] = {'rng': sample_rng(index, name)}
    if isinstance(index, SampleIndex) and index.moment is not None:
        facts['progress'] = index.moment.progress
        facts['batch'] = (index.seed, index.moment.iteration)
    return facts


def rng_of(results: dict) -> np.random.Generator:
    """The generator of a sample in a pipeline.

    Args:
        results: The sample. Where no data set of this package made it, its ``'rng'`` is missing, and the entropy comes
            from NumPy's global state. In a worker of the loader it comes from the worker's seed too: that is new in
            every epoch, while MMEngine gives NumPy the same seed in each.

    Returns:
        ``results['rng']``, or a fresh generator.
    """
    if 'rng' in results:
        return results['rng']
    worker = get_worker_info()
    return np.random.default_rng([*np.random.randint(0, 2**31, size=4), 0 if worker is None else worker.seed])


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seeds the global states of ``random``, ``numpy.random`` and PyTorch (CPU), and restores them afterwards.

    Args:
        seed: From 0 to 2 ** 32 - 1.
    """
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds accelerators too
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
