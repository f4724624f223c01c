"""From a folder of images to tar shards."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from simmim_mm.datasets.image_files import IMAGE_EXTENSIONS, find_images
from simmim_mm.datasets.shard_index import INDEX_NAME, index_shards
from simmim_mm.options import check_whole
from simmim_mm.progress import track


class Packed(NamedTuple):
    """What was packed.

    Attributes:
        num_images: Files.
        num_shards: Tar files.
        num_bytes: Of the images.
        unusual: Endings that the data set takes for images only if its ``extensions`` names them.
    """

    num_images: int
    num_shards: int
    num_bytes: int
    unusual: list[str]


def pack_shards(
    folder: str,
    out: str,
    max_images: int = 10_000,
    max_megabytes: int = 1000,
    list_file: str | None = None,
    pattern: str | None = None,
) -> Packed:
    """Writes the image files of a folder, as they are, into shards that :class:`ShardedImages` and WebDataset read.

    All is written to ``OUT.incomplete``, read again and compared byte for byte by checksum, and only then gets its name
    ``out``; a run that fails leaves nothing behind. The same files give the same shards.

    Args:
        folder: Images at any depth.
        out: Folder to make: ``shard-000000.tar`` and so on, and their index.
        max_images: Of one shard.
        max_megabytes: After which a shard is full, in units of 1,000,000 bytes.
        list_file: See :func:`~simmim_mm.datasets.image_files.find_images`, also for the next.
        pattern: A glob.

    Returns:
        How much was packed.

    Raises:
        FileExistsError: If ``out`` is there, or the remains of a run that was killed.
        ImportError: If webdataset is missing.
        ValueError: If no image was found, an option is out of range, or what was written differs from what was read.
    """
    check_whole(max_images, 'max_images', 'pack_shards')
    check_whole(max_megabytes, 'max_megabytes', 'pack_shards')
    unfinished = f'{os.path.normpath(out)}.incomplete'
    for path, advice in ((out, 'name another folder'), (unfinished, 'an earlier run was killed; delete it')):
        if os.path.lexists(path):
            raise FileExistsError(f'{path!r} exists, and nothing is overwritten; {advice}')
    paths = find_images(folder, list_file, pattern)
    try:
        os.makedirs(unfinished)
        checksums = _write(paths, folder, unfinished, max_images, max_megabytes * 1_000_000)
        shards = sorted(str(path) for path in Path(unfinished).glob('shard-*.tar'))
        num_bytes = _verify(paths, checksums, shards, os.path.join(unfinished, INDEX_NAME))
        os.rename(unfinished, out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    endings = {f'.{_key_of(path, folder, 0)[1]}' for path in paths}
    return Packed(len(paths), len(shards), num_bytes, sorted(endings - {*IMAGE_EXTENSIONS}))


def _write(paths: Sequence[str], folder: str, out: str, max_images: int, max_bytes: int) -> list[int]:
    """Writes the shards and returns the checksum of each file."""
    try:
        from webdataset import ShardWriter
    except ImportError as error:
        raise ImportError('packing shards needs the package webdataset: pip install webdataset') from error
    files: list[IO[bytes]] = []

    def open_shard(path: str) -> IO[bytes]:
        files.append(open(path, 'wb'))  # noqa: SIM115  (closed when the shard is full)
        return files[-1]

    checksums = []
    with ShardWriter(
        os.path.join(out.replace('%', '%%'), 'shard-%06d.tar'),
        maxcount=max_images,
        maxsize=max_bytes,
        verbose=0,
        opener=open_shard,  # its own takes paths with a colon for addresses
        post=lambda path: files.pop().close(),
        encoder=False,
        mtime=0,
    ) as writer:
        for number, path in enumerate(track(paths, f'Packing {folder}')):
            data = Path(path).read_bytes()
            checksums.append(zlib.crc32(data))
            key, ending = _key_of(path, folder, number)
            writer.write({'__key__': key, ending: data})
    return checksums


def _key_of(path: str, folder: str, number: int) -> tuple[str, str]:
    """The key, which is no other file's and has no dots, and the ending."""
    relative = Path(os.path.relpath(path, folder))
    parent = relative.parent.as_posix() if '..' not in relative.parts else '.'
    name = f'{number:08d}_{relative.stem.replace(".", "_")}'
    return (name if parent == '.' else f'{parent}/{name}'), (relative.suffix.lower().removeprefix('.') or 'img')


def _verify(paths: Sequence[str], checksums: Sequence[int], shards: Sequence[str], index_file: str) -> int:
    """Compares what the shards hold with what was read, by way of their index, and returns the bytes of the images."""
    index = index_shards(shards, index_file)
    if len(index) != len(paths):
        raise ValueError(f'{len(paths)} files were written and {len(index)} are in the shards; is the disk full?')
    for number in track(range(len(paths)), 'Checking the shards'):
        shard, offset, size = index[number]['img_part']
        with open(shard, 'rb') as file:
            file.seek(offset)
            if zlib.crc32(file.read(size)) != checksums[number]:
                raise ValueError(
                    f'{paths[number]} reads otherwise from {shard} than it was written; check disk and memory'
                )
    return int(index.members.size.sum())
