"""Data sets of the host packages: CIFAR-10 in its own file format."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from mmpretrain.datasets import CIFAR10
from torch.utils.data import DataLoader

from simmim_mm.datasets import HostImages, SampleIndex, SeededSampler, stack_samples

PIPELINE = [
    dict(type='RandomResizedCrop', size=32),
    dict(type='RandomFlip'),
    dict(type='RandomPatchMask', mask_patch_size=4),
    dict(type='PackMaskedImage'),
]


@pytest.fixture
def cifar(cifar_folder):
    def make(split='train', pipeline=(), **kwargs):
        cfg = dict(type='mmpretrain.CIFAR10', data_root=cifar_folder(), split=split, **kwargs)
        return HostImages(cfg, pipeline=pipeline)

    return make


def test_the_files_are_read(cifar, cifar_images):
    """Every pixel as it was pickled, in the order of the files; nothing of the labels is packed."""
    for split, first, number in (('train', 0, 10), ('test', 10, 2)):
        dataset = cifar(split, [dict(type='PackMaskedImage')])
        assert len(dataset) == number
        for index in range(number):
            packed = dataset[index]
            assert set(packed) == {'inputs', 'img_path'}
            assert np.array_equal(packed['inputs'].numpy(), cifar_images[first + index])


def test_crops_and_masks_follow_from_seed_epoch_and_sample(cifar):
    """Two workers give what none give; another epoch gives something else."""
    dataset = cifar(pipeline=PIPELINE)
    batches = [
        [*DataLoader(dataset, 5, sampler=SeededSampler(dataset, seed=3), num_workers=n, collate_fn=stack_samples)]
        for n in (0, 2)
    ]
    for first, second in zip(*batches, strict=True):
        assert torch.equal(first['inputs'], second['inputs'])
        assert torch.equal(first['mask'], second['mask'])
    masks = [dataset[SampleIndex(4, 3, epoch)]['mask'] for epoch in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_missing_files_say_what_to_do(tmp_path, monkeypatch):
    """And nothing is fetched."""
    monkeypatch.setattr('mmpretrain.datasets.cifar.download_and_extract_archive', None)
    cfg = dict(type='mmpretrain.CIFAR10', data_root=str(tmp_path / 'nowhere'), split='train')
    with pytest.raises(FileNotFoundError, match='finds no data_batch_1, data_batch_2') as error:
        HostImages(cfg)
    for words in ('https://www.cs.toronto.edu', 'nowhere/cifar-10-batches-py', '--data-root', 'unpack'):
        assert words in str(error.value)


def test_damaged_files_are_named_as_such(cifar, cifar_folder):
    """mmpretrain compares checksums."""
    with open(f'{cifar_folder()}/cifar-10-batches-py/data_batch_3', 'ab') as file:
        file.write(b'more')
    with pytest.raises(FileNotFoundError, match='wrong checksum'):
        HostImages(dict(type='mmpretrain.CIFAR10', data_root=cifar_folder(rewrite=False), split='train'))


def test_sets_of_files_are_read_by_our_loader(image_folder):
    """mmpretrain's folders without labels; a file that cannot be read is skipped."""
    folder = image_folder(4)
    with open(f'{folder}/002.png', 'wb') as file:
        file.write(b'no image')
    cfg = dict(type='mmpretrain.CustomDataset', data_root=folder, with_label=False)
    dataset = HostImages(cfg, pipeline=[dict(type='LoadImage'), dict(type='PackMaskedImage')])
    assert len(dataset) == 4
    assert dataset[1]['img_path'].endswith('001.png')
    assert not dataset[2]['img_path'].endswith('002.png')
    assert dataset.unreadable.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ('dataset', 'words'),
    [
        ('CIFAR10', 'is no config'),
        (dict(data_root='x'), 'is no config'),
        (dict(type='nothing.CIFAR10'), "'nothing.CIFAR10' is unknown"),
        (dict(type='mmengine.RepeatDataset', dataset=None, times=1), 'BaseDataset'),
    ],
    ids=str,
)
def test_what_is_no_data_set_is_refused(dataset, words):
    with pytest.raises(ValueError, match=words):
        HostImages(dataset)


def test_the_fixture_is_in_the_official_format(cifar_folder):
    """mmpretrain reads it without us, checksums included."""
    dataset = CIFAR10(data_root=cifar_folder(), split='test', download=False)
    assert dataset[0]['img'].shape == (32, 32, 3)
    name, checksum = CIFAR10.test_list[0]
    with open(f'{cifar_folder(rewrite=False)}/cifar-10-batches-py/{name}', 'rb') as file:
        assert hashlib.md5(file.read()).hexdigest() == checksum
