"""Where in a set of tar shards each file lies: read once, then kept in a file."""

from __future__ import annotations

import logging
import os
import tarfile
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log

from simmim_mm.progress import track

# Of the file beside the shards. The number changes with its form.
INDEX_NAME = '.simmim_mm_shards_1.npz'
# No ending of an image is longer.
MAX_ENDING = 16


class Members(NamedTuple):
    """The files in one shard or several, in their order.

    Attributes:
        offset: (N,) int64, where the content begins.
        size: (N,) int64, its bytes.
        ending: (N,) strings of at most ``MAX_ENDING`` bytes: what follows the first dot of the last part of the name,
            in lower case. By the convention of WebDataset, what comes before is the key, and files with one key are
            one sample.
        length: (N,) int32, bytes of each name.
        names: uint8, all names inside the shard one after the other, in UTF-8.
    """

    offset: np.ndarray
    size: np.ndarray
    ending: np.ndarray
    length: np.ndarray
    names: np.ndarray


class ShardIndex(Sequence):
    """Files in shards as a list that takes a few bytes for each: what a data set's ``load_data_list`` returns.

    Args:
        shards: Paths.
        shard: (N,) which of them each file lies in.
        members: All N files.
        rows: Which of the files are in the list; by default all.
    """

    def __init__(
        self, shards: Sequence[str], shard: np.ndarray, members: Members, rows: np.ndarray | None = None
    ) -> None:
        self.shards = list(shards)
        self.shard = shard
        self.members = members
        self.rows = np.arange(len(shard)) if rows is None else rows
        self._name_end = np.cumsum(members.length, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        """One file as ``img_path`` (shard/name) and ``img_part`` (shard, offset, size); or a part of the list."""
        if isinstance(index, slice | np.ndarray):
            return ShardIndex(self.shards, self.shard, self.members, self.rows[index])
        row = self.rows[index]
        shard, end = self.shards[self.shard[row]], self._name_end[row]
        name = os.fsdecode(self.members.names[end - self.members.length[row] : end].tobytes())
        part = (shard, int(self.members.offset[row]), int(self.members.size[row]))
        return {'img_path': f'{shard}/{name}', 'img_part': part}

    @property
    def endings(self) -> np.ndarray:
        """(N,) endings of the files in the list."""
        return self.members.ending[self.rows]


def scan_shard(path: str) -> Members:
    """Lists the files in a tar file, reading nothing but their headers.

    Args:
        path: The tar file.

    Raises:
        ValueError: If it is damaged, cut off, or compressed.
    """
    rows: list[tuple[int, int, bytes]] = []
    try:
        with tarfile.open(path, 'r:') as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if member.isreg() and not member.issparse():
                    rows.append((member.offset_data, member.size, os.fsencode(member.name)))
            end = tar.offset
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(
            f'{path} is no tar file that can be read ({error}): it is damaged, cut off or compressed; pack it anew, or '
            'unpack it with gunzip'
        ) from error
    with open(path, 'rb') as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes half a header for the end
            raise ValueError(f'{path} has no end after its first {len(rows)} files: it is cut off; pack it anew')
    offsets, sizes, names = zip(*rows, strict=True) if rows else ((), (), ())
    endings = [name.rpartition(b'/')[2].partition(b'.')[2].lower() for name in names]
    return Members(
        offset=np.array(offsets, np.int64),
        size=np.array(sizes, np.int64),
        ending=np.array(endings, f'S{MAX_ENDING}'),
        length=np.array([len(name) for name in names], np.int32),
        names=np.frombuffer(b''.join(names), np.uint8),
    )


def index_shards(shards: Sequence[str], index_file: str) -> ShardIndex:
    """Finds all files in shards, from the index file where it knows a shard, and writes that file where it does not.

    A shard is known if its name, size and time of change are. Several processes may do this at once: the file is put in
    place as a whole.

    Args:
        shards: Paths.
        index_file: The index. If it cannot be written, a warning says so.

    Raises:
        ValueError: If a shard is damaged.
    """
    folder = os.path.dirname(os.path.abspath(index_file))
    marks = [_mark(shard, folder) for shard in shards]
    known = _read(index_file)
    parts = {mark: known[mark] for mark in marks if mark in known}
    missing = [(shard, mark) for shard, mark in zip(shards, marks, strict=True) if mark not in parts]
    for shard, mark in track(missing, 'Indexing shards'):
        parts[mark] = scan_shard(shard)
    index = ShardIndex(
        shards,
        np.repeat(np.arange(len(shards), dtype=np.int32), [len(parts[mark].offset) for mark in marks]),
        Members(*(np.concatenate(columns) for columns in zip(*(parts[mark] for mark in marks), strict=True))),
    )
    if missing:
        try:
            _write(index_file, marks, index)
        except OSError as error:
            print_log(
                f'The index of the shards cannot be kept in {index_file} ({error.strerror}), so the headers of all '
                'shards are read again in each run; set index_file of the data set to a place that can be written',
                logger='current',
                level=logging.WARNING,
            )
    return index


def _mark(shard: str, folder: str) -> tuple[str, int, int]:
    status = os.stat(shard)
    return os.path.relpath(os.path.abspath(shard), folder), status.st_size, status.st_mtime_ns


def _read(index_file: str) -> dict[tuple[str, int, int], Members]:
    try:
        with np.load(index_file, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # there is none, or it is damaged
        return {}
    if {*content} != {'shards', 'lengths', 'times', 'counts', *Members._fields}:
        return {}
    marks = zip(content['shards'].tolist(), content['lengths'].tolist(), content['times'].tolist(), strict=True)
    known, at, name_at = {}, 0, 0
    for mark, count in zip(marks, content['counts'], strict=True):
        files = {name: content[name][at : at + count] for name in Members._fields if name != 'names'}
        num_letters = int(files['length'].sum())
        known[mark] = Members(**files, names=content['names'][name_at : name_at + num_letters])
        at, name_at = at + count, name_at + num_letters
    return known


def _write(index_file: str, marks: Sequence[tuple[str, int, int]], index: ShardIndex) -> None:
    names, lengths, times = zip(*marks, strict=True)
    counts = np.bincount(index.shard, minlength=len(marks))
    unfinished = f'{index_file}.{os.getpid()}'
    try:
        with open(unfinished, 'wb') as file:
            np.savez(
                file,
                shards=np.array(names),
                lengths=np.array(lengths, np.int64),
                times=np.array(times, np.int64),
                counts=counts,
                **index.members._asdict(),
            )
        os.replace(unfinished, index_file)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)
