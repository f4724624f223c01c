"""Parts and masks that follow from the names of files: the same wherever the folder is and whatever else is in it."""

from __future__ import annotations

import os
import shutil
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmpretrain.datasets import CIFAR10  # noqa: F401  (registers the host's data sets)
from torch.utils.data import DataLoader

from simmim_mm.datasets import HostImages, SeededSampler, ShardedImages, UnlabelledImages, stack_samples
from simmim_mm.datasets.file_names import is_held_out, name_number, relative_name, rows_of_part
from simmim_mm.datasets.pack_shards import pack_shards

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', size=64),
    dict(type='RandomPatchMask', mask_patch_size=8),
    dict(type='PackMaskedImage'),
]


def names_of(dataset, root) -> list[str]:
    return [os.path.relpath(dataset.get_data_info(number)['img_path'], root) for number in range(len(dataset))]


def parts(root, share=0.3, **kwargs) -> list[set[str]]:
    return [
        set(names_of(UnlabelledImages(root, split=split, held_out=share, **kwargs), root))
        for split in ('train', 'held_out')
    ]


@given(st.sets(st.text(min_size=1, max_size=8), max_size=60), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_two_parts_are_all_and_a_larger_share_holds_a_smaller_one(names, one, other):
    """For any names; a number is what it is, whatever other names there are."""
    small, large = ({name for name in names if is_held_out(name, share)} for share in sorted((one, other)))
    assert small <= large
    for name in names:
        assert is_held_out(name, one) == (name_number(name) / 2**64 < one)


def test_the_share_is_about_what_was_asked_for():
    """Four standard deviations of a coin that is tossed for each file."""
    count = sum(is_held_out(f'train/n{number:08d}.JPEG', 0.02) for number in range(20000))
    assert abs(count - 400) < 4 * (20000 * 0.02 * 0.98) ** 0.5


def test_numbers_are_the_same_everywhere_and_for_ever():
    """Held-out images of last year are held out today."""
    assert name_number('a/b.png') == 0x7EA4FC4732436554  # b2sum --length=64
    assert name_number(unicodedata.normalize('NFC', 'é.png')) == name_number(unicodedata.normalize('NFD', 'é.png'))
    assert name_number('bad\udcff.png') != name_number('bad\udcfe.png')  # bytes that are no text


@pytest.mark.parametrize(
    ('path', 'root', 'name'),
    [
        ('data/x/a/b.png', 'data/x', 'a/b.png'),
        ('data/x/a/b.png', 'data/x/', 'a/b.png'),
        ('./b.png', '.', 'b.png'),
        ('data/x/./a/../b.png', 'data/x', 'b.png'),
        ('/elsewhere/b.png', 'data/x', '/elsewhere/b.png'),
        ('data/xy/b.png', 'data/x', 'data/xy/b.png'),
    ],
)
def test_names_below_a_folder(path, root, name):
    assert relative_name(path, root) == name
    inside = os.path.join(os.getcwd(), 'data', 'x', 'c.png')
    assert relative_name(inside, 'data/x') == 'c.png'


@pytest.mark.parametrize('serialize_data', [True, False])
def test_the_parts_of_a_folder(image_folder, tmp_path, serialize_data):
    """Disjoint and complete; new files, another place and another order move none."""
    root = image_folder(20)
    train, held_out = parts(root, serialize_data=serialize_data)
    assert train | held_out == set(os.listdir(root))
    assert not train & held_out
    assert held_out
    assert train
    moved = str(tmp_path / 'moved' / 'deeper')
    shutil.copytree(root, moved)
    for number in range(20):
        shutil.copy(os.path.join(root, '000.png'), os.path.join(moved, f'0_new{number}.png'))
    train_then, held_out_then = parts(moved, serialize_data=serialize_data)
    assert train <= train_then
    assert held_out <= held_out_then


def test_lists_and_patterns_are_split_alike(image_folder, tmp_path):
    root = image_folder(20)
    train, held_out = parts(root)
    listing = tmp_path / 'list.txt'
    names = [*sorted(os.listdir(root), reverse=True)[:15], os.path.join(root, '000.png')]
    listing.write_text('\n'.join(names))
    chosen = {os.path.basename(name) for name in names}
    assert parts(root, list_file=str(listing)) == [train & chosen, held_out & chosen]
    first = {f'{number:03d}.png' for number in range(10)}
    assert parts(root, pattern='00*.png') == [train & first, held_out & first]


def test_shards_and_hosts_sets_are_split_too(image_folder, tmp_path):
    root = image_folder(20)
    kept = [
        set(names_of(HostImages(dict(type='mmpretrain.CustomDataset', data_root=root, with_label=False), **part), root))
        for part in (dict(split=split, held_out=0.3) for split in ('train', 'held_out'))
    ]
    assert kept == parts(root)
    shards = str(tmp_path / 'shards')
    pack_shards(root, shards, max_images=7)
    whole = set(names_of(ShardedImages(shards), shards))
    train, held_out = (
        set(names_of(ShardedImages(shards, split=s, held_out=0.3), shards)) for s in ('train', 'held_out')
    )
    assert train | held_out == whole
    assert not train & held_out
    assert held_out == {name for name in whole if is_held_out(name, 0.3)}


def test_images_without_files_go_by_their_position(cifar_folder):
    source = dict(type='mmpretrain.CIFAR10', data_root=cifar_folder(), split='train')
    chosen = HostImages(source, split='held_out', held_out=0.5)
    positions = [chosen.get_data_info(number)['position'] for number in range(len(chosen))]
    assert positions == [number for number in range(10) if is_held_out(str(number), 0.5)]


@pytest.mark.parametrize('split', ['train', 'held_out'])
def test_an_empty_part_is_refused(image_folder, split):
    share = 1e-9 if split == 'held_out' else 1 - 1e-9
    words = ('validation', 'larger') if split == 'held_out' else ('training', 'smaller')
    message = r'^--held-out {:g} .* none of the 3 images in .* for {}: .* give a {} share'.format(share, *words)
    with pytest.raises(ValueError, match=message.replace('+', r'\+')) as raised:
        UnlabelledImages(image_folder(3), split=split, held_out=share)
    assert 'split=' not in str(raised.value)


@pytest.mark.parametrize(
    ('num_held_out', 'total', 'share', 'warned'),
    [
        (17, 100, 0.1, True),
        (8, 100, 0.1, False),  # a fifth less, no more
        (7, 100, 0.1, True),
        (1, 6, 0.1, False),  # the nearest number
        (2, 6, 0.1, True),
        (97, 100, 0.9, True),  # a fifth of a tenth
        (1, 156, 0.0001, False),  # by less than one image
        (410, 20000, 0.02, False),
    ],
)
def test_a_share_that_is_far_off_is_said_with_both_numbers(monkeypatch, num_held_out, total, share, warned):
    """By hand: more than a fifth of the smaller part, and by more than one image."""
    messages = []
    monkeypatch.setattr('simmim_mm.datasets.file_names.print_log', lambda text, **_: messages.append(text))
    chosen = {str(number) for number in range(num_held_out)}
    monkeypatch.setattr('simmim_mm.datasets.file_names.is_held_out', lambda name, _: name in chosen)
    names = [str(number) for number in range(total)]
    assert rows_of_part(names, 'held_out', share, 'folder').tolist() == list(range(num_held_out))
    assert len(rows_of_part(names, 'train', share, 'folder')) == total - num_held_out
    assert len(messages) == warned
    for text in messages:
        assert f'{num_held_out} of the {total} images' in text
        assert f'{100 * num_held_out / total:.3g} %; --held-out {share:g} ' in text
        assert f'asks for {100 * share:.3g} %' in text


def masks_of(root, seed=0, order=None, **kwargs) -> dict[str, torch.Tensor]:
    dataset = UnlabelledImages(root, pipeline=PIPELINE, fixed=True, **kwargs)
    sampler = SeededSampler(dataset, shuffle=order is not None, seed=seed)
    sampler.set_epoch(order or 0)
    loader = DataLoader(dataset, batch_size=3, sampler=sampler, collate_fn=stack_samples)
    return {
        os.path.basename(path): (mask, image)
        for batch in loader
        for path, mask, image in zip(batch['img_path'], batch['mask'], batch['inputs'], strict=True)
    }


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_masks_by_file(image_folder, tmp_path):
    """Neither the folder's name, other files, order nor epoch change what is drawn for a file; the seed does."""
    root = image_folder(5)
    expected = masks_of(root)
    assert len(expected) == 5
    moved = str(tmp_path / 'elsewhere')
    shutil.copytree(root, moved)
    os.remove(os.path.join(moved, '000.png'))
    shutil.copy(os.path.join(root, '001.png'), os.path.join(moved, '000a.png'))
    found = masks_of(moved, order=7)
    assert found.keys() == expected.keys() - {'000.png'} | {'000a.png'}
    assert all(same(found[name], expected[name]) for name in expected.keys() & found.keys())
    assert not same(found['000a.png'], expected['001.png'])  # another name of the same image
    assert not any(torch.equal(masks_of(root, seed=1)[name][0], expected[name][0]) for name in expected)


def test_what_replaces_an_unreadable_file_is_its_own_sample(image_folder):
    """So that a metric that counts each file once counts neither of them twice."""
    root = image_folder(5)
    expected = masks_of(root)
    with open(os.path.join(root, '002.png'), 'wb') as file:
        file.write(b'no image')
    dataset = UnlabelledImages(root, pipeline=PIPELINE, fixed=True, max_unreadable=1)
    sampler = SeededSampler(dataset, shuffle=False, seed=0)
    samples = [dataset[index] for index in sampler]
    assert len(samples) == 5
    for sample in samples:
        assert same((sample['mask'], sample['inputs']), expected[os.path.basename(sample['img_path'])])
    assert {os.path.basename(sample['img_path']) for sample in samples} == expected.keys() - {'002.png'}
