"""A training and a held-out part of a list of files, by name and seed."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simmim_mm.options import is_number

BALANCES = ('over', 'under')


class Split(NamedTuple):
    """Two lists of files.

    Attributes:
        train: To train on. With over-sampling, files of small classes are there several times.
        held_out: To validate on; each file once.
    """

    train: list[str]
    held_out: list[str]


def class_of(path: str) -> str:
    """The class of a file: the first folder of its path.

    Args:
        path: Relative to the data's folder, with ``/`` between folders.

    Raises:
        ValueError: If it is in no folder.
    """
    folder, slash, _ = path.partition('/')
    if not slash:
        raise ValueError(
            f'{path!r} is in no class folder; --stratify and --balance need all images in folders FOLDER/CLASS/...: '
            'leave the option out, or move the file'
        )
    return folder


@dataclass(frozen=True)
class SplitRule:
    """How files are split.

    Args:
        held_out: Share to hold out, from 0 to below 1.
        stratify: Whether each class is split by itself. A group counts for the class of its first file by name.
        balance: ``'over'``: files of small classes are repeated in the training list, until each class has as many as
            the largest; ``'under'``: large classes lose files, until each has as many as the smallest.
        seed: Another one gives another split.

    Raises:
        ValueError: If one is out of range.
    """

    held_out: float
    stratify: bool = False
    balance: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_number(self.held_out) or not 0 <= self.held_out < 1:
            raise ValueError(f'held_out={self.held_out!r} must be a share of the files, from 0 to below 1')
        if self.stratify and not self.held_out:
            raise ValueError('--stratify says which files are held out; give --held-out SHARE too')
        if self.balance not in (None, *BALANCES):
            raise ValueError(f"balance={self.balance!r} is unknown; use 'over', 'under' or None")

    @property
    def needs_classes(self) -> bool:
        """Whether all files have to be in class folders."""
        return self.stratify or self.balance is not None

    def check(self, paths: Iterable[str]) -> None:
        """Checks that files are in class folders, where that matters.

        Args:
            paths: Relative to the data's folder.

        Raises:
            ValueError: If one is not.
        """
        if self.needs_classes:
            for path in paths:
                class_of(path)


def split(paths: Sequence[str], groups: Sequence[int], rule: SplitRule) -> Split:
    """Splits files so that no group has members on both sides.

    Groups are put in an order that follows from the seed and the name of their first file, and held out one after the
    other, as long as that brings the held-out part nearer to its share. So the same files and seed give the same
    split, in any order; and a file that is added or removed moves others only where the share's border is.

    Args:
        paths: N files, relative to the data's folder, with ``/`` between folders; each once.
        groups: For each file, the number of its group of equal and near ones.
        rule: How.

    Raises:
        ValueError: If a file is in no class folder, or one part would be empty.
    """
    members: defaultdict[int, list[str]] = defaultdict(list)
    for path, group in sorted(zip(paths, groups, strict=True)):
        members[group].append(path)
    strata: defaultdict[str, list[list[str]]] = defaultdict(list)
    for files in members.values():
        strata[class_of(files[0]) if rule.stratify else ''].append(files)
    train: list[str] = []
    held_out: list[str] = []
    for stratum in strata.values():
        wanted = rule.held_out * sum(map(len, stratum))
        taken = 0
        for files in sorted(stratum, key=lambda files: _place(rule.seed, files[0])):
            if abs(taken + len(files) - wanted) < abs(taken - wanted):
                held_out += files
                taken += len(files)
            else:
                train += files
    if not train or (rule.held_out > 0 and not held_out):
        part = 'training' if held_out else 'held-out'
        raise ValueError(
            f'a share of {rule.held_out:g} of {len(paths)} files, in {len(members)} groups of near duplicates, leaves '
            f'the {part} part empty; choose another --held-out, or a smaller --distance for smaller groups'
        )
    if rule.balance is not None:
        train = _balanced(train, rule.balance, rule.seed)
    return Split(sorted(train), sorted(held_out))


def _balanced(paths: list[str], balance: str, seed: int) -> list[str]:
    classes: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(paths, key=lambda path: _place(seed, path)):
        classes[class_of(path)].append(path)
    sizes = [len(files) for files in classes.values()]
    wanted = max(sizes) if balance == 'over' else min(sizes)
    return [files[number % len(files)] for files in classes.values() for number in range(wanted)]


def _place(seed: int, path: str) -> bytes:
    """Where a file comes in the order of a seed: its name decides, and nothing else."""
    return hashlib.blake2b(f'{seed}/{path}'.encode('utf-8', 'surrogateescape'), digest_size=16).digest()


def class_counts(paths: Sequence[str]) -> dict[str, int]:
    """How many files each class has, by name.

    Args:
        paths: See :func:`split`.
    """
    return dict(sorted(Counter(class_of(path) for path in paths).items()))
