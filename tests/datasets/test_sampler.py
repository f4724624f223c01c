"""Crops, flips and masks depend on (seed, epoch, sample) alone."""

import functools
import itertools
import random

import mmengine.dataset.sampler
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, worker_init_fn
from torch.utils.data import DataLoader

from simmim_mm.datasets import InfiniteSeededSampler, SeededSampler, UnlabelledImages, stack_samples
from simmim_mm.registry import DATASETS

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', size=32),
    dict(type='RandomFlip'),
    dict(type='RandomPatchMask', mask_patch_size=4),
    dict(type='PackMaskedImage'),
]
# Drawn by the host's transforms from Python's, NumPy's and PyTorch's global states.
HOST_PIPELINE = [
    dict(type='LoadImage'),
    dict(type='mmpretrain.RandomResizedCrop', scale=32),
    dict(type='mmcv.RandomFlip', prob=0.5),
    dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='mmpretrain.torchvision/ToPILImage'),
    dict(type='mmpretrain.torchvision/RandomAffine', degrees=20),
    dict(type='mmpretrain.PILToNumpy'),
    dict(type='mmpretrain.SimMIMMaskGenerator', input_size=32, mask_patch_size=4),
    dict(type='PackMaskedImage'),
]


@pytest.fixture
def dataset(image_folder):
    folder = image_folder(7)
    return lambda pipeline=PIPELINE: UnlabelledImages(folder, pipeline=pipeline)


def _read(dataset, sampler, num_workers=0, epochs=1, batch_size=2, persistent=False):
    """Reads epochs; returns {(epoch, path): (image, mask)} and the order of the paths."""
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=stack_samples,
        num_workers=num_workers,
        persistent_workers=persistent,
        worker_init_fn=functools.partial(worker_init_fn, num_workers=num_workers, rank=0, seed=num_workers),
    )
    samples, order = {}, []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            for image, mask, path in zip(batch['inputs'], batch['mask'], batch['img_path'], strict=True):
                samples[epoch, path] = (image.clone(), mask.clone())
                order.append(path)
    return samples, order


def _assert_equal(first, second):
    assert first.keys() == second.keys()
    for key, tensors in first.items():
        for one, other in zip(tensors, second[key], strict=True):
            assert torch.equal(one, other), key


@pytest.mark.parametrize('pipeline', [PIPELINE, HOST_PIPELINE], ids=['ours', 'hosts'])
def test_samples_do_not_depend_on_the_number_of_workers(dataset, pipeline):
    """Images and masks bit by bit, over two epochs, with persistent workers too."""
    reference, order = _read(dataset(pipeline), SeededSampler(range(7), seed=3), epochs=2)
    assert len(reference) == 14
    for num_workers, persistent in ((1, False), (2, True)):
        sampler = SeededSampler(range(7), seed=3)
        samples, again = _read(dataset(pipeline), sampler, num_workers, epochs=2, persistent=persistent)
        _assert_equal(samples, reference)
        assert again == order


def test_samples_do_not_depend_on_the_number_of_processes(dataset, monkeypatch):
    """Two ranks read together what one reads, bit by bit; one image fills up the last round."""
    reference, order = _read(dataset(), SeededSampler(range(7), seed=3), epochs=2)
    together, orders = {}, []
    for rank in range(2):
        monkeypatch.setattr(mmengine.dataset.sampler, 'get_dist_info', lambda rank=rank: (rank, 2))
        samples, paths = _read(dataset(), SeededSampler(range(7), seed=3), epochs=2)
        assert len(paths) == 8
        for key in together.keys() & samples.keys():
            assert torch.equal(together[key][1], samples[key][1])
        together |= samples
        orders.append(paths[:4])
    _assert_equal(together, reference)
    assert [path for pair in zip(*orders, strict=True) for path in pair][:7] == order[:7]


def test_samples_do_not_depend_on_the_batch_size_or_on_timing(dataset):
    """Nor on what else was drawn before."""
    reference, _ = _read(dataset(), SeededSampler(range(7), seed=3))
    np.random.seed(123)
    random.seed(123)
    _assert_equal(_read(dataset(), SeededSampler(range(7), seed=3), batch_size=3)[0], reference)


@pytest.mark.parametrize('pipeline', [PIPELINE, HOST_PIPELINE], ids=['ours', 'hosts'])
def test_epochs_and_seeds_differ(dataset, pipeline):
    """Every image has a new mask and a new crop in each epoch and under each seed."""
    first, _ = _read(dataset(pipeline), SeededSampler(range(7), seed=3), epochs=2)
    second, _ = _read(dataset(pipeline), SeededSampler(range(7), seed=4), epochs=2)
    for epoch, path in first:
        for other in (first[1 - epoch, path], second[epoch, path]):
            assert not torch.equal(first[epoch, path][0], other[0])
            assert not torch.equal(first[epoch, path][1], other[1])


def test_images_of_an_epoch_differ(dataset):
    """No two images share a mask."""
    samples, _ = _read(dataset(), SeededSampler(range(7), seed=3))
    assert len({mask.numpy().tobytes() for _, mask in samples.values()}) == 7


def test_order_is_the_hosts():
    """The same shuffle as MMEngine's DefaultSampler; without shuffling, in order."""
    for arguments in (dict(seed=3), dict(seed=3, shuffle=False)):
        ours, theirs = SeededSampler(range(20), **arguments), DefaultSampler(range(20), **arguments)
        for epoch in (0, 5):
            ours.set_epoch(epoch)
            theirs.set_epoch(epoch)
            indices = list(ours)
            assert indices == list(theirs)
            assert {(index.seed, index.epoch) for index in indices} == {(3, epoch)}


@pytest.mark.parametrize('num_workers', [0, 2])
def test_global_states_of_the_main_process_stay(dataset, num_workers):
    """Reading changes neither Python's nor NumPy's nor PyTorch's state, so a model's dropout does not depend on it."""
    data, sampler = dataset(HOST_PIPELINE), SeededSampler(range(7), seed=3)
    loader = iter(DataLoader(data, sampler=sampler, num_workers=num_workers))
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert len(list(loader)) == 7
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


@pytest.mark.parametrize(('num_workers', 'persistent'), [(0, False), (2, True), (2, False)])
def test_the_hosts_sampler_works_too(dataset, num_workers, persistent):
    """Plain indices: fresh masks for every sample and in every epoch, from the states that the host seeds."""
    sampler = DefaultSampler(range(7), seed=3)
    samples, _ = _read(dataset(), sampler, num_workers, epochs=2, persistent=persistent)
    assert len({mask.numpy().tobytes() for _, mask in samples.values()}) == 14


def test_the_hosts_sampler_is_reproducible(dataset):
    """Under NumPy's seed, as MMEngine sets it from `randomness`."""
    runs = []
    for _ in range(2):
        np.random.seed(11)
        runs.append(_read(dataset(), DefaultSampler(range(7), seed=3))[0])
    _assert_equal(*runs)


@pytest.mark.parametrize('wrapper', ['repeat', 'concat', 'both'])
def test_seeds_reach_through_the_hosts_wrappers(image_folder, wrapper):
    """RepeatDataset and ConcatDataset compute with the index: seed and epoch survive, and repetitions differ."""
    parts = [
        dict(type='UnlabelledImages', data_root=image_folder(3, name), pipeline=PIPELINE) for name in ('one', 'two')
    ]
    cfg = {
        'repeat': dict(type='RepeatDataset', times=2, dataset=parts[0]),
        'concat': dict(type='ConcatDataset', datasets=parts),
        'both': dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=parts)),
    }[wrapper]
    dataset = DATASETS.build(cfg)
    runs = []
    for noise in (1, 2):
        np.random.seed(noise)
        runs.append([dataset[index] for index in SeededSampler(dataset, seed=3, shuffle=False)])
    assert len(runs[0]) == (12 if wrapper == 'both' else 6)
    for one, other in zip(*runs, strict=True):
        assert one['img_path'] == other['img_path']
        assert torch.equal(one['inputs'], other['inputs'])
        assert torch.equal(one['mask'], other['mask'])
    assert len({sample['mask'].numpy().tobytes() for sample in runs[0]}) == len(runs[0])


def test_the_infinite_sampler_is_all_epochs_one_after_the_other():
    """From any position on."""
    finite, infinite = SeededSampler(range(7), seed=3), InfiniteSeededSampler(range(7), seed=3)
    expected = []
    for epoch in range(4):
        finite.set_epoch(epoch)
        expected += [(int(index), index.seed, index.epoch) for index in finite]
    for start in (0, 1, 4, 9):
        infinite.skip(start)
        drawn = [(int(index), index.seed, index.epoch) for index in itertools.islice(infinite, 16 - start)]
        assert drawn == expected[start:16]


def test_processes_take_turns_in_the_endless_stream(monkeypatch):
    """13 images, 2 and 3 processes: the batches of all together are those of one process, for ever."""

    def drawn(rank, world_size, num):
        monkeypatch.setattr(mmengine.dataset.sampler, 'get_dist_info', lambda: (rank, world_size))
        sampler = InfiniteSeededSampler(range(13), seed=3)
        return [(int(index), index.epoch) for index in itertools.islice(sampler, num)]

    alone = drawn(0, 1, 60)
    for world_size in (2, 3):
        ranks = [drawn(rank, world_size, 60 // world_size) for rank in range(world_size)]
        assert [index for turn in zip(*ranks, strict=True) for index in turn] == alone


@pytest.mark.parametrize('seed', [-1, 1.5, 'a'])
def test_seeds_are_whole_numbers_from_0(seed):
    with pytest.raises(ValueError, match='must be a whole number from 0'):
        SeededSampler(range(3), seed=seed)
