"""Images in tar shards against the same images as files, tarfile and the webdataset library."""

import io
import itertools
import logging
import os
import tarfile
from collections import Counter
from pathlib import Path

import mmengine.dataset.sampler
import pytest
import torch
import webdataset
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from simmim_mm.datasets import (
    InfiniteSeededSampler,
    SampleIndex,
    SeededSampler,
    ShardedImages,
    UnlabelledImages,
    shard_index,
    stack_samples,
)
from simmim_mm.datasets.pack_shards import pack_shards
from simmim_mm.datasets.shard_index import INDEX_NAME, index_shards, scan_shard

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', size=32),
    dict(type='RandomFlip'),
    dict(type='RandomPatchMask', mask_patch_size=8),
    dict(type='PackMaskedImage'),
]


@pytest.fixture
def packed(image_folder, tmp_path):
    """Eleven images, as a folder and as three shards."""
    folder = image_folder(11, ending='.jpg')
    out = str(tmp_path / 'shards')
    assert pack_shards(folder, out, max_images=4)[:2] == (11, 3)
    return folder, out


def _tar(path, members):
    """A tar file as any other program would write it."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, 'w') as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


@pytest.fixture
def warnings_of_the_log():
    messages, handler = [], logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield messages
    logger.removeHandler(handler)


def test_samples_are_those_of_the_files(packed):
    """Pixels and masks of each index, in the order of the files; only the name is the shard's."""
    folder, out = packed
    files = UnlabelledImages(folder, pipeline=PIPELINE)
    shards = ShardedImages(out, pipeline=PIPELINE)
    assert len(shards) == 11
    for number in range(11):
        index = SampleIndex(number, 1, 2)
        one, other = shards[index], files[index]
        assert torch.equal(one['inputs'], other['inputs'])
        assert torch.equal(one['mask'], other['mask'])
    assert one['img_path'] == f'{out}/shard-000002.tar/00000010_010.jpg'


def test_the_library_reads_our_shards(packed):
    """Keys, endings and bytes."""
    folder, out = packed
    stream = webdataset.WebDataset(os.path.join(out, 'shard-{000000..000002}.tar'), shardshuffle=False)
    samples = list(stream)
    files = sorted(Path(folder).iterdir())
    assert [sample['__key__'] for sample in samples] == [f'{n:08d}_{file.stem}' for n, file in enumerate(files)]
    assert [sample['jpg'] for sample in samples] == [file.read_bytes() for file in files]


def test_the_index_is_tarfiles(tmp_path):
    """Offsets, sizes and names: long ones, folders, links, empty files, no files at all."""
    members = {'a/b.c/0.jpg': b'x' * 1000, 'k' * 150 + '.PNG': b'', 'ä/ö.cls': b'1', '1.seg.png': b'y' * 512}
    path = _tar(tmp_path / 'one.tar', members)
    with tarfile.open(path, 'a') as tar:
        folder, link = tarfile.TarInfo('folder'), tarfile.TarInfo('link.jpg')
        folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, 'a/b.c/0.jpg'
        tar.addfile(folder)
        tar.addfile(link)
    index = index_shards([path, _tar(tmp_path / 'none.tar', {})], str(tmp_path / 'index.npz'))
    assert len(index) == 4
    data = Path(path).read_bytes()
    for entry, (name, content) in zip(index, members.items(), strict=True):
        shard, offset, size = entry['img_part']
        assert (entry['img_path'], shard) == (f'{path}/{name}', path)
        assert data[offset : offset + size] == content
    assert index.endings.tolist() == [b'jpg', b'png', b'cls', b'seg.png']
    assert [entry['img_path'] for entry in index[1:3]] == [index[1]['img_path'], index[2]['img_path']]


def test_the_index_is_read_once(packed, monkeypatch):
    """Then it comes from its file; a shard that changed is read again, and no other; so is what a killed run left."""
    _, out = packed
    scanned = []
    monkeypatch.setattr(shard_index, 'scan_shard', lambda path: scanned.append(path) or scan_shard(path))

    def build():
        scanned.clear()
        dataset = ShardedImages(out)
        return [dataset.get_data_info(number) for number in range(len(dataset))]

    expected = build()
    assert scanned == []  # pack_shards left it
    os.utime(f'{out}/shard-000001.tar', ns=(1, 1))
    assert build() == expected
    assert [os.path.basename(path) for path in scanned] == ['shard-000001.tar']
    assert build() == expected
    assert scanned == []
    Path(out, INDEX_NAME).write_bytes(Path(out, INDEX_NAME).read_bytes()[:500])
    assert build() == expected
    assert len(scanned) == 3
    _tar(Path(out, 'a-new-one.tar'), {'x.jpg': b''})
    assert len(build()) == 12
    assert len(scanned) == 1
    assert os.listdir(out).count(INDEX_NAME) == 1


def test_an_index_that_cannot_be_kept_is_warned_of(packed, tmp_path, warnings_of_the_log):
    """And the data set works; `index_file` names another place."""
    _, out = packed
    assert len(ShardedImages(out, index_file=str(tmp_path / 'none' / 'index.npz'))) == 11
    assert 'index_file' in warnings_of_the_log.pop()
    elsewhere = tmp_path / 'index.npz'
    assert len(ShardedImages(out, index_file=str(elsewhere))) == 11
    assert elsewhere.is_file()
    assert warnings_of_the_log == []


@pytest.mark.parametrize(
    ('shards', 'expected'),
    [
        (None, [0, 1, 2]),
        ('shard-00000[02].tar', [0, 2]),
        ('shard-{000001..000002}.tar', [1, 2]),
        ('shard-{000002,000000}.tar', [2, 0]),
        ('shard-000001.tar', [1]),
    ],
    ids=str,
)
def test_shards_are_chosen(packed, shards, expected):
    """By braces, globs and names, in the order of the braces."""
    _, out = packed
    dataset = ShardedImages(out, shards=shards)
    names = [dataset.get_data_info(number)['img_part'][0] for number in range(len(dataset))]
    assert list(dict.fromkeys(names)) == [f'{out}/shard-00000{number}.tar' for number in expected]
    assert len(dataset) == sum({0: 4, 1: 4, 2: 3}[number] for number in expected)


def test_missing_shards_are_missed(packed, tmp_path):
    """The message names the shard, or the folder."""
    _, out = packed
    with pytest.raises(FileNotFoundError, match='no shard .shard-000003.tar'):
        ShardedImages(out, shards='shard-{000002..000003}.tar')
    with pytest.raises(FileNotFoundError, match='pack_shards.py'):
        ShardedImages(str(tmp_path / 'images'))
    with pytest.raises(FileNotFoundError, match='is no folder'):
        ShardedImages(f'{out}/shard-000000.tar')


def test_files_that_are_no_images(tmp_path, warnings_of_the_log):
    """Labels are left where they are; endings that hide an image are warned of; without images, the message counts."""
    _tar(tmp_path / 's' / 'a.tar', {'0.jpg': b'', '0.cls': b'', '0.json': b'', '1.JPG': b'', '1.seg.png': b''})
    assert len(ShardedImages(str(tmp_path / 's'))) == 2
    assert '.seg.png' in warnings_of_the_log.pop()
    chosen = ShardedImages(str(tmp_path / 's'), extensions=['.seg.png'])
    assert [chosen.get_data_info(0)['img_path'][-9:], len(chosen)] == ['1.seg.png', 1]
    with pytest.raises(ValueError, match=r'hold no images: their 5 files are 2 \.jpg, .*extensions'):
        ShardedImages(str(tmp_path / 's'), extensions=['.webp'])


@pytest.mark.parametrize('how', ['cut off', 'cut off in a header', 'compressed', 'no tar'])
def test_damaged_shards_are_refused(tmp_path, how):
    """When the index is made, with the name of the shard."""
    path = Path(_tar(tmp_path / 'a.tar', {f'{number}.jpg': b'x' * 2000 for number in range(3)}))
    content = path.read_bytes()
    if how == 'compressed':
        with tarfile.open(path, 'w:gz') as tar:
            tar.addfile(tarfile.TarInfo('0.jpg'))
    else:
        path.write_bytes({'cut off': content[:6000], 'cut off in a header': content[:2800], 'no tar': b'x' * 5000}[how])
    with pytest.raises(ValueError, match='a.tar'):
        ShardedImages(str(tmp_path))


def test_unreadable_members_are_skipped_and_listed(packed, tmp_path):
    """As files are: the same replacements, the same flags, a line with name and reason."""
    folder, _ = packed
    for name in ('001.jpg', '004.jpg'):
        os.truncate(f'{folder}/{name}', 400)
    out = str(tmp_path / 'spoilt')
    pack_shards(folder, out, max_images=4)
    files, shards = (kind(root, pipeline=PIPELINE, max_unreadable=0.5) for kind, root in
                     ((UnlabelledImages, folder), (ShardedImages, out)))  # fmt: skip
    shards.unreadable_log = str(tmp_path / 'log.txt')
    for number in range(11):
        index = SampleIndex(number, 0, 0)
        assert torch.equal(shards[index]['inputs'], files[index]['inputs'])
    assert shards.unreadable.tolist() == files.unreadable.tolist()
    lines = (tmp_path / 'log.txt').read_text().splitlines()
    assert [line.split('\t')[0] for line in lines] == [
        f'{out}/shard-000000.tar/00000001_001.jpg', f'{out}/shard-000001.tar/00000004_004.jpg'
    ]  # fmt: skip


def _stream(dataset, monkeypatch, world_size, num_workers, num_each, skip=0):
    """The images that each process sees, taking turns."""
    seen = []
    for rank in range(world_size):
        with monkeypatch.context() as patch:
            patch.setattr(mmengine.dataset.sampler, 'get_dist_info', lambda rank=rank: (rank, world_size))
            sampler = InfiniteSeededSampler(dataset, seed=5)
        sampler.skip(skip)
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=num_workers, collate_fn=stack_samples)
        paths = itertools.chain.from_iterable(batch['img_path'] for batch in loader)
        seen.append(list(itertools.islice(paths, num_each)))
    return [path for turn in zip(*seen, strict=True) for path in turn]


@pytest.mark.parametrize(('world_size', 'num_workers'), [(1, 0), (2, 0), (3, 0), (2, 2)])
def test_every_image_once_an_epoch(packed, monkeypatch, world_size, num_workers):
    """11 images, whatever the processes and workers: the same stream, each image once in every 11; and mid-epoch."""
    dataset = ShardedImages(packed[1], pipeline=PIPELINE)
    alone = _stream(dataset, monkeypatch, 1, 0, 36)
    for epoch in range(3):
        assert set(Counter(alone[11 * epoch : 11 * epoch + 11]).values()) == {1}
        assert len(set(alone[11 * epoch : 11 * epoch + 11])) == 11
    assert _stream(dataset, monkeypatch, world_size, num_workers, 36 // world_size) == alone
    resumed = _stream(dataset, monkeypatch, world_size, num_workers, 12 // world_size, skip=6)
    assert resumed == alone[6 * world_size :][: len(resumed)]


def test_batches_come_through_the_loader(packed):
    """With the finite sampler and workers, as one by one."""
    dataset = ShardedImages(packed[1], pipeline=PIPELINE)
    loader = DataLoader(dataset, 4, sampler=SeededSampler(dataset, seed=1), num_workers=2, collate_fn=stack_samples)
    inputs = torch.cat([batch['inputs'] for batch in loader])
    expected = torch.stack([dataset[index]['inputs'] for index in SeededSampler(dataset, seed=1)])
    assert torch.equal(inputs, expected)


def test_the_hosts_options_work(packed):
    """`indices`, `lazy_init`, subsets; an index into the whole is no copy of it."""
    _, out = packed
    paths = [ShardedImages(out).get_data_info(number)['img_path'] for number in range(11)]
    for indices, expected in ((3, paths[:3]), (-2, paths[-2:]), ([5, 0], [paths[5], paths[0]])):
        dataset = ShardedImages(out, indices=indices, lazy_init=True)
        dataset.full_init()
        assert [dataset.get_data_info(number)['img_path'] for number in range(len(dataset))] == expected
    subset = ShardedImages(out).get_subset([7])
    assert subset.get_data_info(0)['img_path'] == paths[7]


def test_packing_keeps_bytes_and_folders(tmp_path, image_folder):
    """Names with dots get keys without; equal names of different endings stay apart; the same shards again."""
    folder = Path(image_folder(2, 'in/a.b', ending='.jpg')).parent
    (folder / 'a.b' / '000.jpg').rename(folder / 'a.b' / 'x.y.z.JPG')
    (folder / 'x.png').write_bytes(b'1')
    (folder / 'x.jpg').write_bytes(b'2')
    packed = pack_shards(str(folder), str(tmp_path / 'out%d'), max_megabytes=1)
    assert packed[:2] == (4, 1)
    with tarfile.open(tmp_path / 'out%d' / 'shard-000000.tar') as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}
    files = sorted(str(path) for path in folder.rglob('*.*') if path.is_file())
    names = ['a.b/00000000_001.jpg', 'a.b/00000001_x_y_z.jpg', '00000002_x.jpg', '00000003_x.png']
    assert content == {name: Path(file).read_bytes() for name, file in zip(names, files, strict=True)}
    assert len(ShardedImages(str(tmp_path / 'out%d'))) == 4
    pack_shards(str(folder), str(tmp_path / 'again'))
    first, second = (tmp_path / name / 'shard-000000.tar' for name in ('out%d', 'again'))
    assert first.read_bytes() == second.read_bytes()


def test_full_shards_are_followed_by_others(tmp_path):
    """By size, too: 5 files of 0.6 MB, in shards that are full at 1 MB."""
    (tmp_path / 'in').mkdir()
    for number in range(5):
        (tmp_path / 'in' / f'{number}.bin').write_bytes(bytes(600_000))
    packed = pack_shards(str(tmp_path / 'in'), str(tmp_path / 'out'), max_megabytes=1, pattern='*.bin')
    assert packed == (5, 3, 3_000_000, ['.bin'])
    assert len(ShardedImages(str(tmp_path / 'out'), extensions=packed.unusual)) == 5


def test_nothing_is_overwritten(packed, tmp_path):
    """Neither a folder nor what a killed run left."""
    folder, out = packed
    before = sorted(os.listdir(out))
    with pytest.raises(FileExistsError, match='nothing is overwritten'):
        pack_shards(folder, out)
    assert sorted(os.listdir(out)) == before
    (tmp_path / 'new.incomplete').mkdir()
    with pytest.raises(FileExistsError, match='was killed; delete it'):
        pack_shards(folder, str(tmp_path / 'new'))
    with pytest.raises(ValueError, match='max_images=0'):
        pack_shards(folder, str(tmp_path / 'other'), max_images=0)


@pytest.mark.parametrize('when', ['a file that cannot be read', 'a bit that flips'])
def test_a_run_that_fails_leaves_nothing(packed, tmp_path, monkeypatch, when):
    """And says which file it was."""
    folder, _ = packed
    out = tmp_path / 'new'
    if when == 'a bit that flips':
        addfile = tarfile.TarFile.addfile

        def flip(self, info, stream):
            content = bytearray(stream.read())
            content[-1] ^= 1
            addfile(self, info, io.BytesIO(content))

        monkeypatch.setattr(tarfile.TarFile, 'addfile', flip)
        error, words = ValueError, '000.jpg reads otherwise'
    else:
        os.symlink('nowhere', f'{folder}/zzz.jpg')
        error, words = FileNotFoundError, 'zzz.jpg'
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error, match=words):
        pack_shards(folder, str(out))
    assert sorted(os.listdir(tmp_path)) == before
