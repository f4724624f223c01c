"""A data set of whatever images a person has."""

import logging
import os

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image
from torch.utils.data import DataLoader

from simmim_mm.datasets import SampleIndex, SeededSampler, TooManyUnreadableImagesError, UnlabelledImages
from simmim_mm.registry import DATASETS

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='CenterCrop', size=32),
    dict(type='RandomPatchMask', mask_patch_size=16),
    dict(type='PackMaskedImage'),
]


def _spoil(folder, *numbers):
    """Makes files of an image folder unreadable, each in its own way."""
    spoilt = [os.path.join(folder, f'{number:03d}.png') for number in numbers]
    for path, content in zip(spoilt, [b'', b'no image', b'\x89PNG\r\n\x1a\n'] * len(spoilt), strict=False):
        with open(path, 'wb') as file:
            file.write(content)
    return spoilt


def test_every_image_is_a_sample(image_folder):
    """One sample a file, through the whole pipeline, by the path it comes from."""
    folder = image_folder(5)
    dataset = DATASETS.build(dict(type='UnlabelledImages', data_root=folder, pipeline=PIPELINE))
    assert len(dataset) == 5
    for number in range(5):
        sample = dataset[number]
        assert sample['img_path'] == os.path.join(folder, f'{number:03d}.png')
        assert sample['inputs'].shape == (3, 32, 32)
        assert sample['mask'].shape == (2, 2)
    assert not dataset.unreadable.any()


def test_list_and_pattern_reach_the_search(image_folder, tmp_path):
    """`list_file`, `pattern` and `extensions` select."""
    folder = image_folder(4)
    listing = tmp_path / 'list.txt'
    listing.write_text('003.png\n001.png\n')
    chosen = UnlabelledImages(folder, list_file=str(listing))
    assert [os.path.basename(chosen.get_data_info(i)['img_path']) for i in range(2)] == ['003.png', '001.png']
    assert len(UnlabelledImages(folder, pattern='00[0-2].png')) == 3
    with pytest.raises(ValueError, match='4 .png'):
        UnlabelledImages(folder, extensions=['.jpg'])


@pytest.mark.parametrize('serialize_data', [True, False])
def test_the_hosts_options_work(image_folder, serialize_data):
    """`indices` and `lazy_init` of BaseDataset."""
    folder = image_folder(5)
    assert len(UnlabelledImages(folder, indices=2, serialize_data=serialize_data)) == 2
    lazy = UnlabelledImages(folder, lazy_init=True, pipeline=PIPELINE, serialize_data=serialize_data)
    assert len(lazy.unreadable) == 0
    assert lazy[4]['img_path'].endswith('004.png')
    assert len(lazy.unreadable) == 5


def test_paths_are_those_given(image_folder, monkeypatch):
    """A relative data_root stays relative, `~` is not touched; no prefix is added twice."""
    folder = image_folder(1)
    monkeypatch.chdir(os.path.dirname(folder))
    assert UnlabelledImages('images').get_data_info(0)['img_path'] == os.path.join('images', '000.png')


def test_a_wrong_folder_is_known_when_built(tmp_path):
    """Not at the first batch, in a worker."""
    with pytest.raises(FileNotFoundError, match='does not exist'):
        UnlabelledImages(str(tmp_path / 'none'))


def test_cells_that_do_not_fit_the_crop_are_known_when_built(image_folder):
    """The last crop before the mask counts; without a crop, nothing is known yet."""
    folder = image_folder(1)

    def build(*steps):
        return UnlabelledImages(folder, pipeline=[dict(type='LoadImage'), *steps])

    mask = dict(type='RandomPatchMask', mask_patch_size=32)
    with pytest.raises(ValueError, match='mask_patch_size=32 does not divide both sides of the 64x80 image'):
        build(dict(type='RandomResizedCrop', size=(64, 80)), mask)
    with pytest.raises(ValueError, match='mask_patch_size=32 does not divide the image side 100'):
        build(dict(type='RandomResizedCrop', size=64), dict(type='CenterCrop', size=100), mask)
    build(dict(type='CenterCrop', size=100), dict(type='RandomResizedCrop', size=64), mask)
    assert len(build(mask)) == 1


@pytest.mark.parametrize('share', [-0.1, 1.5, '1%', None])
def test_wrong_shares_are_refused(image_folder, share):
    """The message holds the value."""
    with pytest.raises(ValueError, match='from 0 to 1') as error:
        UnlabelledImages(image_folder(1), max_unreadable=share)
    assert f'max_unreadable={share!r}' in str(error.value)


def test_unreadable_images_are_replaced(image_folder):
    """Another image takes the place, chosen by the sample's seed; the rest of the sample is as ever."""
    folder = image_folder(6)
    spoilt = _spoil(folder, 1, 4)
    dataset = UnlabelledImages(folder, pipeline=PIPELINE, max_unreadable=0.5)
    paths = [dataset[SampleIndex(number, 0, 0)]['img_path'] for number in range(6)]
    assert not set(paths) & set(spoilt)
    assert [paths[number] for number in (0, 2, 3, 5)] == [f'{folder}/{number:03d}.png' for number in (0, 2, 3, 5)]
    assert dataset.unreadable.tolist() == [False, True, False, False, True, False]
    again = UnlabelledImages(folder, pipeline=PIPELINE, max_unreadable=0.5)
    assert [again[SampleIndex(number, 0, 0)]['img_path'] for number in range(6)] == paths
    elsewhere = {dataset[SampleIndex(1, seed, 0)]['img_path'] for seed in range(30)}
    assert len(elsewhere) == 4


def test_replacements_do_not_depend_on_what_is_known(image_folder):
    """Whether a file was found unreadable before, or by this very sample: the same replacement, crop and mask."""
    folder = image_folder(6)
    _spoil(folder, 1, 4)
    pipeline = [PIPELINE[0], dict(type='RandomResizedCrop', size=32), *PIPELINE[2:]]
    experienced = UnlabelledImages(folder, pipeline=pipeline, max_unreadable=1)
    for number in range(6):
        experienced[number]
    for seed in range(5):
        fresh = UnlabelledImages(folder, pipeline=pipeline, max_unreadable=1)
        first, second = (dataset[SampleIndex(1, seed, 0)] for dataset in (fresh, experienced))
        assert first['img_path'] == second['img_path']
        assert torch.equal(first['inputs'], second['inputs'])
        assert torch.equal(first['mask'], second['mask'])


def test_unreadable_files_are_opened_once(image_folder):
    """Known ones are not tried again."""
    folder = image_folder(4)
    (spoilt,) = _spoil(folder, 2)
    opened = []
    pipeline = [lambda results: opened.append(results['img_path']) or results, *PIPELINE]
    dataset = UnlabelledImages(folder, pipeline=pipeline, max_unreadable=1)
    for _ in range(3):
        dataset[2]
    assert opened.count(spoilt) == 1


def test_what_was_skipped_is_logged(image_folder):
    """A warning with path and reason, once a file."""
    folder = image_folder(4)
    (spoilt,) = _spoil(folder, 2)
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        dataset = UnlabelledImages(folder, pipeline=PIPELINE, max_unreadable=1)
        logger.setLevel(logging.WARNING)
        for _ in range(3):
            dataset[2]
    finally:
        logger.removeHandler(handler)
    assert len(records) == 1
    assert records[0].levelno == logging.WARNING
    assert spoilt in records[0].getMessage()


def test_workers_share_what_they_know(image_folder):
    """Flags set in workers are seen by the main process, and by workers that start later."""
    folder = image_folder(8)
    _spoil(folder, 0, 5)
    dataset = UnlabelledImages(folder, pipeline=PIPELINE, max_unreadable=0.5)
    for batch in DataLoader(dataset, sampler=SeededSampler(dataset, seed=0), num_workers=2, batch_size=2):
        assert batch['inputs'].shape == (2, 3, 32, 32)
    assert dataset.unreadable.nonzero().flatten().tolist() == [0, 5]


@pytest.mark.parametrize(
    ('num_spoilt', 'max_unreadable', 'stops'), [(1, 0.1, False), (2, 0.1, True), (1, 0, True), (0, 0, False)]
)
def test_too_many_unreadable_images_stop_the_run(image_folder, num_spoilt, max_unreadable, stops):
    """More than the share: an error with the numbers, the last file and the setting; up to the share: none."""
    folder = image_folder(10)
    spoilt = _spoil(folder, *range(num_spoilt))
    dataset = UnlabelledImages(folder, pipeline=PIPELINE, max_unreadable=max_unreadable)

    def read_all():
        return [dataset[number]['img_path'] for number in range(10)]

    if not stops:
        assert not set(read_all()) & set(spoilt)
        return
    with pytest.raises(TooManyUnreadableImagesError, match=f'{num_spoilt} of the 10 images') as error:
        read_all()
    assert spoilt[-1] in str(error.value)
    assert f'max_unreadable={max_unreadable}' in str(error.value)


def test_a_set_without_readable_images_always_stops(image_folder):
    """Whatever the share, and at every later sample too: no endless search for a replacement."""
    folder = image_folder(3)
    _spoil(folder, 0, 1, 2)
    dataset = UnlabelledImages(folder, pipeline=PIPELINE, max_unreadable=1)
    for _ in range(3):
        with pytest.raises(TooManyUnreadableImagesError, match='3 of the 3 images'):
            dataset[0]


def test_other_errors_are_not_swallowed(image_folder):
    """A bug in a transform is no unreadable image."""

    def broken(results):
        raise OSError('disk on fire')

    dataset = UnlabelledImages(image_folder(2), pipeline=[broken])
    with pytest.raises(OSError, match='disk on fire'):
        dataset[0]
    assert not dataset.unreadable.any()


def test_the_samples_generator_reaches_the_pipeline(image_folder):
    """`results['rng']` is the generator of (seed, epoch, index)."""
    seen = []
    dataset = UnlabelledImages(image_folder(3), pipeline=[lambda results: seen.append(results) or results])
    dataset[SampleIndex(2, seed=5, epoch=7)]
    expected = np.random.default_rng((5, 7, 2))
    expected.integers(2**32)  # the seed of the global states
    assert seen[0]['rng'].bit_generator.state == expected.bit_generator.state
    assert seen[0]['img_path'].endswith('002.png')


def test_blank_images_are_skipped_or_kept_by_choice(image_folder, tmp_path):
    """Fast and plain loading agree; where they are kept, they are listed as such; they never count as unreadable."""
    folder = image_folder(6, ending='.jpg', size=(90, 80))
    Image.new('RGB', (90, 80), 'white').save(f'{folder}/001.jpg')
    pixels = np.full((80, 90, 3), 255, np.uint8)
    pixels[:8, :8] = 0
    Image.fromarray(pixels).save(f'{folder}/002.jpg')  # most crops of it are blank
    for fast in (True, False):
        for blank in ('skip', 'keep'):
            log = tmp_path / f'{fast}-{blank}.txt'
            dataset = UnlabelledImages(folder, pipeline=PIPELINE, blank=blank, fast=fast, max_unreadable=0)
            dataset.unreadable_log = str(log)
            paths = [os.path.basename(dataset[SampleIndex(number, 0, 0)]['img_path']) for number in range(6)]
            assert ('001.jpg' in paths) == (blank == 'keep')
            assert paths[2] == '002.jpg'
            assert not dataset.unreadable.any()
            kind = 'blank' if blank == 'skip' else 'blank, used'
            assert log.read_text() == f'{folder}/001.jpg\t{kind}\tall its pixels are equal\n'


def test_a_set_of_blank_images_stops(tmp_path):
    for number in range(3):
        Image.new('RGB', (40, 40)).save(tmp_path / f'{number}.png')
    dataset = UnlabelledImages(str(tmp_path), pipeline=PIPELINE)
    with pytest.raises(TooManyUnreadableImagesError, match='0 of the 3 images .*, and 3 are blank'):
        dataset[0]


def test_what_the_settings_do_not_fit_is_skipped_on_request(image_folder):
    """By default it stops the run; skipped files count as unreadable."""
    folder = image_folder(4)
    np.save(f'{folder}/000.npy', np.zeros((40, 40, 5), np.uint8))
    with pytest.raises(ValueError, match='does not follow which axis'):
        UnlabelledImages(folder, pipeline=PIPELINE)[0]
    dataset = UnlabelledImages(folder, pipeline=PIPELINE, unfit='skip')
    assert dataset[SampleIndex(0, 0, 0)]['img_path'].endswith('.png')
    assert dataset.unreadable.tolist() == [True, False, False, False, False]
    with pytest.raises(TooManyUnreadableImagesError, match='1 of the 5 images'):
        UnlabelledImages(folder, pipeline=PIPELINE, unfit='skip', max_unreadable=0)[0]


def test_replacements_do_not_depend_on_what_others_drew(image_folder):
    """A transform of others, which draws in front of the one that finds the damage, leaves no trace."""
    folder = image_folder(6)
    _spoil(folder, 1)

    def draw(results):
        np.random.rand()
        results['rng'].random()
        return results

    pipeline = [draw, PIPELINE[0], lambda results: results | {'drawn': np.random.rand()}]
    samples = []
    for known in (False, True):
        dataset = UnlabelledImages(folder, pipeline=pipeline, max_unreadable=1)
        if known:
            dataset[1]
        sample = dataset[SampleIndex(1, 0, 0)]
        samples.append((sample['img_path'], sample['drawn'], sample['rng'].bit_generator.state))
    assert samples[0] == samples[1]


def test_the_last_opened_file_is_known(image_folder):
    dataset = UnlabelledImages(image_folder(3), pipeline=PIPELINE)
    assert dataset.last_opened() == {}
    dataset[2]
    assert dataset.last_opened() == {os.getpid(): f'{dataset.data_root}/002.png'}
