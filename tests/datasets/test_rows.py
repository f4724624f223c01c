"""Batches that are written row by row against samples one by one."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

from simmim_mm.datasets import SampleIndex, SeededSampler, UnlabelledImages, stack_samples
from simmim_mm.datasets.rows import Rows

PIPELINE = [
    dict(type='LoadImage', grey='repeat'),
    dict(type='RandomResizedCrop', size=32),
    dict(type='RandomFlip'),
    dict(type='RandomPatchMask', mask_patch_size=8),
    dict(type='PackMaskedImage'),
]
OTHER_MASK = dict(type='SquareMask', mask_patch_size=16, key='other_mask')
FOREIGN = dict(type='mmcv.RandomGrayscale', prob=0.5, keep_channels=True)


@pytest.fixture(params=['jpeg', 'png', 'foreign', 'two masks', 'slow', 'float'])
def dataset(request, image_folder, tmp_path):
    """Through the fast path, and through what is not so fast."""
    folder = image_folder(5, ending='.jpg' if request.param in ('jpeg', 'slow') else '.png', size=(90, 80))
    pipeline = {
        'foreign': [*PIPELINE[:3], FOREIGN, *PIPELINE[3:]],
        'two masks': [*PIPELINE[:4], OTHER_MASK, PIPELINE[4]],
    }.get(request.param, PIPELINE)
    if request.param == 'float':
        folder = tmp_path / 'arrays'
        folder.mkdir()
        for number in range(5):
            np.save(folder / f'{number}.npy', np.random.default_rng(number).random((40, 50, 4)).astype(np.float32))
        pipeline = [dict(type='LoadImage', channels=4, depth='stored'), *PIPELINE[1:]]
    return UnlabelledImages(str(folder), pipeline=pipeline, fast=request.param != 'slow')


def _assert_equal(batch, expected):
    assert batch.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert (batch[key].dtype, batch[key].is_contiguous()) == (value.dtype, True)
            assert torch.equal(batch[key], value)
        else:
            assert batch[key] == value


@pytest.mark.parametrize('num_workers', [0, 2])
def test_batches_are_the_samples_one_by_one(dataset, num_workers):
    """In all keys, types and values; in workers, in memory that is shared already, with nothing to copy."""
    loader = DataLoader(
        dataset, 2, sampler=SeededSampler(dataset, seed=1), collate_fn=stack_samples, num_workers=num_workers
    )
    order = list(SeededSampler(dataset, seed=1))
    for number, batch in enumerate(loader):
        samples = [dataset[index] for index in order[2 * number : 2 * number + 2]]
        _assert_equal(batch, default_collate(samples))
        assert batch['inputs'].is_shared() == (num_workers > 0)


def test_rows_are_shared_before_they_are_sent(dataset, monkeypatch):
    """What the collate function of a worker returns lies in shared memory, and is what the data set wrote."""
    monkeypatch.setattr('simmim_mm.datasets.rows.get_worker_info', lambda: object())
    rows = dataset.__getitems__([SampleIndex(number, 0, 0) for number in range(3)])
    batch = stack_samples(rows)
    assert batch['inputs'].is_shared()
    assert batch['inputs'].data_ptr() == rows.tensors['inputs'].data_ptr()


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate, list])
def test_other_collate_functions_see_samples(dataset, collate):
    """A sequence of what PackMaskedImage makes."""
    indices = [SampleIndex(number, 0, 0) for number in (3, 1)]
    batch, expected = collate(dataset.__getitems__(indices)), collate([dataset[index] for index in indices])
    if collate is list:
        for one, other in zip(batch, expected, strict=True):
            _assert_equal(one, other)
        return
    assert batch['img_path'] == expected['img_path']
    for one, other in zip(batch['inputs'], expected['inputs'], strict=True):
        assert torch.equal(one, other)


def test_rows_are_a_sequence(dataset):
    rows = dataset.__getitems__([SampleIndex(number, 0, 0) for number in range(4)])
    assert len(rows) == len(list(rows)) == 4
    assert torch.equal(rows[-1]['inputs'], rows[3]['inputs'])
    assert [sample['img_path'] for sample in rows[1:3]] == [rows[1]['img_path'], rows[2]['img_path']]
    with pytest.raises(IndexError):
        rows[4]


def test_pipelines_that_pack_otherwise_give_lists(image_folder):
    """What they return, as ever."""
    dataset = UnlabelledImages(image_folder(3), pipeline=PIPELINE[:2])
    samples = dataset.__getitems__([0, 2])
    assert [sample['img'].shape for sample in samples] == [(32, 32, 3)] * 2


def test_a_changed_pipeline_counts(image_folder):
    """Also after the first sample."""
    dataset = UnlabelledImages(image_folder(2, ending='.jpg'), pipeline=PIPELINE)
    index = SampleIndex(0, 0, 0)
    before = dataset[index]['inputs']
    dataset.pipeline.transforms.insert(2, lambda results: {**results, 'img': 255 - results['img']})
    assert torch.equal(dataset[index]['inputs'], 255 - before)


def test_unreadable_files_are_replaced_in_batches(image_folder):
    """By the same images as one by one."""
    folder = image_folder(6, ending='.jpg')
    for name in ('001.jpg', '004.jpg'):
        with open(f'{folder}/{name}', 'r+b') as file:
            file.truncate(500)
    indices = [SampleIndex(number, 0, 0) for number in range(6)]
    one, other = (UnlabelledImages(folder, pipeline=PIPELINE, max_unreadable=1) for _ in range(2))
    _assert_equal(stack_samples(one.__getitems__(indices)), default_collate([other[index] for index in indices]))
    assert one.unreadable.tolist() == other.unreadable.tolist() == [False, True, False, False, True, False]


def _result(size=8, cells=2, channels=3, dtype=np.uint8, **more):
    return dict(img=np.zeros((size, size, channels), dtype), mask=np.zeros((cells, cells), bool), img_path='x', **more)


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        (dict(size=4), ['inputs of one batch differ in shape', '(3, 8, 8)', '(3, 4, 4)']),
        (dict(channels=4), ['(4, 8, 8)', 'set channels of LoadImage']),
        (dict(cells=4), ['mask of one batch differ in shape', '(4, 4)']),
        (dict(dtype=np.float32), ['differ in type', 'uint8', 'float32']),
        (dict(other_mask=np.zeros((2, 2), bool)), ['other_mask is drawn for some samples']),
        (dict(dtype=np.int64), ['reached PackMaskedImage']),
    ],
    ids=str,
)
def test_samples_that_differ_are_refused(other, words):
    """As stack_samples refuses them."""
    rows = Rows(2)
    rows.append(_result())
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the words are below)
        rows.append(_result(**other))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize('channels', [1, 3, 5])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_mirrored_and_turned_images_are_written_as_they_are(channels, dtype):
    """Views of every kind."""
    image = np.random.default_rng(0).integers(0, 255, (6, 7, channels)).astype(dtype)
    views = [image, image[:, ::-1], image[::-1], image[::-1, ::-1], image[1:5, 2:6], image[1:5, 6:2:-1]]
    for view in [*views, image.swapaxes(0, 1), image.swapaxes(0, 1)[:, ::-1]]:
        rows = Rows(1)
        rows.append(dict(img=view))
        assert np.array_equal(rows[0]['inputs'].numpy(), view.transpose(2, 0, 1))


def test_the_registered_function_takes_rows(dataset):
    """As MMEngine's Runner calls it."""
    collate = FUNCTIONS.get('simmim_mm.stack_samples')
    assert set(collate(dataset.__getitems__([0, 1]), _scope_='x')) >= {'inputs', 'mask', 'img_path'}


def test_rough_decoding_reaches_the_pipeline(image_folder, monkeypatch):
    """Other pixels, nothing else; refused without the package, and without `fast`."""
    folder, index = image_folder(1, ending='.jpg', size=(90, 80)), SampleIndex(0, 0, 0)
    one, other = (UnlabelledImages(folder, pipeline=PIPELINE, rough=rough)[index] for rough in (True, False))
    assert torch.equal(one['mask'], other['mask'])
    difference = (one['inputs'].float() - other['inputs'].float()).abs()
    assert 0 < difference.mean() < 2
    with pytest.raises(ValueError, match='rough=True of UnlabelledImages needs fast=True'):
        UnlabelledImages(folder, rough=True, fast=False)
    monkeypatch.setattr('simmim_mm.datasets.unlabelled.simplejpeg', None)
    with pytest.raises(ValueError, match='pip install simplejpeg'):
        UnlabelledImages(folder, rough=True)
