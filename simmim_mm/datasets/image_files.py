"""Finding image files: a folder tree, a list file or a glob."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log

from simmim_mm.progress import track

# What LoadImage reads, as file name endings.
IMAGE_EXTENSIONS = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.gif', '.ppm', '.pgm'),
    *('.tif', '.tiff', '.npy'),
)

HOW_TO_NAME_A_FOLDER = (
    'name a folder of images (of any depth, no class folders needed); for training with --data-root FOLDER, or with '
    'train_dataloader.dataset.data_root in the config'
)


class _Place(NamedTuple):
    """What a folder was given as: the folder, the option, whose option that is, and how to name another one."""

    folder: str
    option: str
    owner: str
    advice: str

    def __str__(self) -> str:
        return f'{self.option}={str(self.folder)!r}' + (f' of {self.owner}' if self.owner else '')


_given: ContextVar[_Place | None] = ContextVar('given', default=None)


@contextmanager
def folder_given_as(folder: str, option: str, owner: str, advice: str) -> Iterator[None]:
    """Lets messages about a folder name the option that it stands in, instead of ``data_root`` of a data set.

    Args:
        folder: The folder. Messages about others stay as they are.
        option: Such as ``'labelled'``.
        owner: Whose option it is, such as ``'RepresentationHook'``; ``''`` for a tool's.
        advice: How to name another folder.
    """
    token = _given.set(_Place(folder, option, owner, advice))
    try:
        yield
    finally:
        _given.reset(token)


def _place_of(folder: str) -> _Place:
    given = _given.get()
    if given is not None and given.folder == str(folder):
        return given
    return _Place(str(folder), 'data_root', '', HOW_TO_NAME_A_FOLDER)


def find_images(
    data_root: str,
    list_file: str | None = None,
    pattern: str | None = None,
    extensions: Iterable[str] = IMAGE_EXTENSIONS,
) -> list[str]:
    """Lists image files, sorted by path.

    Args:
        data_root: A folder. Without ``list_file`` and ``pattern``, all its image files at any depth are listed; links
            to folders are followed, names that begin with a dot are not.
        list_file: A text file with one path a line, relative to ``data_root`` or absolute. Empty lines and lines that
            begin with ``#`` are ignored. Order and repetitions are kept.
        pattern: A glob relative to ``data_root``, such as ``'**/*_rgb.tif'``. What it matches counts as an image
            whatever its name ends with.
        extensions: Endings of image file names, in lower case, with the dot.

    Returns:
        Paths, ``data_root`` included.

    Raises:
        FileNotFoundError: If the folder or the list file does not exist.
        NotADirectoryError: If ``data_root`` is a file.
        ValueError: If nothing was found, with what was there instead, or if both ``list_file`` and ``pattern`` are
            given.
    """
    check_place(data_root, list_file, pattern)
    if list_file is not None:
        return _from_list(data_root, list_file)
    if pattern is not None:
        return _from_pattern(data_root, pattern)
    return _from_folder(data_root, tuple(extensions))


def check_place(data_root: str, list_file: str | None = None, pattern: str | None = None) -> None:
    """Looks whether there is something to list, which takes no time.

    Args:
        data_root: See :func:`find_images`, also for the others.
        list_file: A text file.
        pattern: A glob.

    Raises:
        FileNotFoundError: If the folder or the list file does not exist.
        NotADirectoryError: If ``data_root`` is a file.
        ValueError: If the options are no paths, or both ``list_file`` and ``pattern`` are given.
    """
    if not isinstance(data_root, str | os.PathLike):
        raise ValueError(f'data_root={data_root!r} is no folder; {HOW_TO_NAME_A_FOLDER}')
    if list_file is not None and pattern is not None:
        raise ValueError(
            f'list_file={list_file!r} and pattern={pattern!r} are both given; keep one and set the other to None'
        )
    if list_file is not None:
        if not os.path.isfile(list_file):
            raise FileNotFoundError(f'list_file={str(list_file)!r} does not exist (seen from {os.getcwd()})')
        return
    place = _place_of(data_root)
    if not os.path.exists(data_root):
        raise FileNotFoundError(
            f'{place} does not exist (seen from {os.getcwd()}); put the images there, or {place.advice}'
        )
    if not os.path.isdir(data_root):
        raise NotADirectoryError(
            f'{place} is a file, not a folder; {place.advice}'
            + (', or read a list of paths with list_file' if place.option == 'data_root' else '')
        )


def _from_folder(data_root: str, extensions: tuple[str, ...]) -> list[str]:
    locked: list[OSError] = []
    files = list(track(walk(data_root, locked.append), f'Looking for images in {data_root}'))
    if locked:
        print_log(
            f'{len(locked)} folders in {str(data_root)!r} cannot be looked into, so that images in them are not used; '
            f'the first one is {locked[0].filename!r}: {locked[0].strerror}',
            logger='current',
            level=logging.WARNING,
        )
    images = sorted(path for path in files if path.lower().endswith(extensions))
    if not images:
        endings = Counter(Path(path).suffix.lower() or '(no ending)' for path in files)
        found = ', '.join(f'{count} {ending}' for ending, count in endings.most_common(5))
        place = _place_of(data_root)
        raise ValueError(
            f'{place} holds no images: '
            + (f'its {len(files)} files are {found}' if files else 'it is empty')
            + f'; image files end with {" ".join(extensions)}; {place.advice}'
        )
    return images


def walk(root: str, onerror: Callable[[OSError], None] | None = None) -> Iterator[str]:
    """The files below a folder; follows links to folders, but enters no folder twice.

    Args:
        root: The folder.
        onerror: Is told of each folder that cannot be looked into.

    Yields:
        Paths, ``root`` included; names that begin with a dot are left out.
    """
    entered = {os.path.realpath(root)}
    for folder, subfolders, names in os.walk(root, onerror=onerror, followlinks=True):
        keep = []
        for name in sorted(subfolders):
            real = os.path.realpath(os.path.join(folder, name))
            if not name.startswith('.') and real not in entered:
                entered.add(real)
                keep.append(name)
        subfolders[:] = keep
        for name in names:
            if not name.startswith('.'):
                yield os.path.join(folder, name)


def _from_list(data_root: str, list_file: str) -> list[str]:
    with open(list_file, encoding='utf-8-sig') as lines:
        try:
            names = [line.strip() for line in lines]
        except UnicodeDecodeError as error:
            raise ValueError(f'list_file={str(list_file)!r} is no text in UTF-8 ({error}); save it as such') from error
    paths = [os.path.join(data_root, name) for name in names if name and not name.startswith('#')]
    if not paths:
        raise ValueError(f'list_file={str(list_file)!r} names no files; write one path a line, relative to data_root')
    missing = [path for path in paths[:1000] if not os.path.isfile(path)]
    if len(missing) == len(paths[:1000]):
        raise FileNotFoundError(
            f'none of the first {len(missing)} files of list_file={str(list_file)!r} exists, the first being '
            f'{missing[0]!r}; set data_root to the folder that the paths of the list are relative to'
        )
    return paths


def _from_pattern(data_root: str, pattern: str) -> list[str]:
    if not isinstance(pattern, str) or not pattern:
        raise ValueError(f"pattern={pattern!r} is no glob; use '**/*.png', for example")
    if os.path.isabs(pattern):
        raise ValueError(f'pattern={pattern!r} is absolute; give it relative to data_root={str(data_root)!r}')
    images = sorted(str(path) for path in Path(data_root).glob(pattern) if not path.is_dir())
    if not images:
        raise ValueError(
            f'pattern={pattern!r} matches no file in data_root={str(data_root)!r}; '
            "a glob such as '**/*.png' looks into folders of any depth"
        )
    return images
