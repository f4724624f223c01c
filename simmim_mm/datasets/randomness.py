"""Augmentation and masks as functions of (seed, epoch, sample), whatever the number of workers or processes.

The sampler hands out a :class:`SampleIndex`, an ``int`` that carries seed and epoch. The data set turns it into a
``numpy.random.Generator`` for one sample, which travels through the pipeline as ``results['rng']``. Transforms of other
packages draw from Python's and NumPy's global states, so these are seeded for the duration of the sample too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class SampleIndex(int):
    """Index of a sample that carries the seed and the epoch it is drawn in."""

    seed: int
    epoch: int

    def __new__(cls, index: int, seed: int, epoch: int) -> SampleIndex:
        """Makes an index that carries ``seed`` and ``epoch``."""
        self = super().__new__(cls, index)
        self.seed = seed
        self.epoch = epoch
        return self

    def __getnewargs__(self) -> tuple[int, int, int]:  # type: ignore[override]
        return int(self), self.seed, self.epoch


def sample_rng(index: int) -> np.random.Generator:
    """The generator of one sample.

    Args:
        index: A :class:`SampleIndex`. A plain integer (from a sampler of another package) takes its entropy from NumPy's
            global state, which MMEngine seeds per worker.

    Returns:
        A fresh generator.
    """
    if isinstance(index, SampleIndex):
        return np.random.default_rng((index.seed, index.epoch, int(index)))
    return rng_of({})


def rng_of(results: dict) -> np.random.Generator:
    """The generator of a sample in a pipeline.

    Args:
        results: The sample. Where no data set of this package made it, its ``'rng'`` is missing, and the entropy comes from
            NumPy's global state.

    Returns:
        ``results['rng']``, or a fresh generator.
    """
    return results['rng'] if 'rng' in results else np.random.default_rng(np.random.randint(0, 2**31, size=4))


@contextmanager
def seeded_globals(rng: np.random.Generator) -> Iterator[None]:
    """Seeds the global states of ``random`` and ``numpy.random`` from a generator, and restores them afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    seed = int(rng.integers(2**32))
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
