"""Where randomness comes from."""

import pickle
import random

import numpy as np
import pytest
import torch

from simmim_mm.datasets import SampleIndex, sample_rng
from simmim_mm.datasets.randomness import rng_of, seeded_globals


def test_index_is_an_int_with_seed_and_epoch():
    """It works as an index, a key and a number; pickled (as on its way to a worker) it stays what it is."""
    index = SampleIndex(3, seed=7, epoch=2)
    for one in (index, pickle.loads(pickle.dumps(index))):
        assert (one, one.seed, one.epoch) == (3, 7, 2)
        assert 'abcd'[one] == 'd'
        assert {3: 'x'}[one] == 'x'


def test_generator_depends_on_all_three_and_nothing_else():
    """(index, seed, epoch) -> stream; global states play no part."""
    streams = {}
    for index in range(3):
        for seed in range(3):
            for epoch in range(3):
                np.random.seed(index)
                streams[index, seed, epoch] = tuple(sample_rng(SampleIndex(index, seed, epoch)).integers(2**32, size=4))
    assert len(set(streams.values())) == 27
    np.random.seed(99)
    random.seed(99)
    assert tuple(sample_rng(SampleIndex(1, 2, 0)).integers(2**32, size=4)) == streams[1, 2, 0]


def test_streams_of_neighbours_are_independent():
    """First draws of 4000 neighbouring samples: uniform (chi-squared with 9 degrees, 99.99 %: 33.7), uncorrelated."""
    draws = np.array([sample_rng(SampleIndex(index, 0, 0)).random() for index in range(4000)])
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 33.7
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 4 / np.sqrt(4000)


def test_plain_indices_follow_numpys_state():
    """Reproducible under a seed, different from call to call."""
    np.random.seed(1)
    first, second = sample_rng(0).random(), sample_rng(0).random()
    np.random.seed(1)
    assert sample_rng(0).random() == first
    assert first != second


def test_samples_rng_goes_first():
    """In a pipeline, the generator of the sample is used as it is."""
    rng = np.random.default_rng(0)
    assert rng_of({'rng': rng}) is rng


@pytest.mark.parametrize('fails', [False, True])
def test_global_states_are_seeded_and_restored(fails):
    """Inside, draws follow from the seed; afterwards the states are as before, also after an error."""

    def draws():
        return random.random(), np.random.rand(), torch.rand(()).item()

    inside = []
    for noise in (1, 2):
        random.seed(noise)
        np.random.seed(noise)
        torch.manual_seed(noise)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        try:
            with seeded_globals(5):
                inside.append(draws())
                if fails:
                    raise KeyError
        except KeyError:
            pass
        assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert inside[0] == inside[1]
