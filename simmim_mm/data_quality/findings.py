"""What is to be said against files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from simmim_mm.data_quality.duplicates import exact_groups, near_groups
from simmim_mm.data_quality.list_files import is_listable
from simmim_mm.data_quality.records import ImageRecord
from simmim_mm.options import is_number, is_whole

# Kind of finding -> what it means; in the order in which they are shown.
KINDS = {
    'unreadable': 'training skips them',
    'unfit': 'sound files that stop training, as the settings do not fit them',
    'unlistable': 'have names that no list can hold; rename them',
    'exact': 'equal, byte for byte, to a file that is kept',
    'near': 'look like a picture that is kept',
    'blank': 'one colour',
    'dark': 'nearly all of it is nearly black',
    'over-exposed': 'much of it is white',
    'low-detail': 'blurred, or of smooth areas alone',
    'small': 'smaller than the crop, and enlarged for it',
}
# Those that no list of files to train on can have.
UNUSABLE = ('unreadable', 'unfit', 'unlistable')
OPTIONAL = tuple(kind for kind in KINDS if kind not in UNUSABLE)


@dataclass(frozen=True)
class Thresholds:
    """From where on a file has a finding. Shares are of the range of values.

    Args:
        distance: Two pictures are near if no more bits than this, of 64, of their hashes differ.
        blank: An image is blank if the standard deviation of none of its channels is above this share.
        dark: Dark if 95 % of its pixels are darker than this share.
        over_exposed: Over-exposed if at least this share of its pixels is white.
        low_detail: Low in detail if the standard deviation of its Laplacian is below this share.
        crop: (height, width); small if one side is below. None for no such finding.

    Raises:
        ValueError: If one is out of range.
    """

    distance: int = 4
    blank: float = 0.005
    dark: float = 0.1
    over_exposed: float = 0.5
    low_detail: float = 0.01
    crop: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not is_whole(self.distance) or not 0 <= self.distance <= 31:
            raise ValueError(
                f'distance={self.distance!r} must be a whole number of bits from 0 to 31: the hashes of pictures that '
                'have nothing in common differ in 32 of 64'
            )
        for name in ('blank', 'dark', 'over_exposed', 'low_detail'):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value <= 1:
                raise ValueError(f'{name}={value!r} must be a share of the range of values, from 0 to 1')


@dataclass(frozen=True)
class Findings:
    """What is to be said against the files of a folder.

    Attributes:
        kinds: A set of :data:`KINDS` for each file.
        partner: (N,) int64, for each file the position of the one that it is equal or near to, and that is preferred to
            it; its own, where there is none.
        groups: (N,) int64, the number of each file's group of equal and near ones.
    """

    kinds: list[set[str]]
    partner: np.ndarray
    groups: np.ndarray

    def positions(self, kind: str) -> list[int]:
        """The files with a finding."""
        return [position for position, found in enumerate(self.kinds) if kind in found]


def unwanted_kinds(kinds: Iterable[str]) -> frozenset[str]:
    """Kinds of findings that keep a file out of the clean list.

    Args:
        kinds: Those that a user names.

    Returns:
        Those, what no list to train on can have, and with ``'near'`` also ``'exact'``.

    Raises:
        ValueError: If one is not known.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f'{kind!r} is no kind of finding; use {", ".join(OPTIONAL)}')
    return frozenset([*kinds, *UNUSABLE, *(['exact'] if 'near' in kinds else [])])


def find(records: Sequence[ImageRecord], thresholds: Thresholds, unwanted: frozenset[str]) -> Findings:
    """Judges files.

    Of a group of files that are equal or near, one is preferred: one without unwanted findings, among those the one
    with the fewest findings, then the one with the most pixels, then the largest file, then the first one by name.

    Args:
        records: N files.
        thresholds: From where on they have a finding.
        unwanted: See :func:`unwanted_kinds`.
    """
    kinds = [_of_one(record, thresholds) for record in records]
    comparable = np.array(
        [record.is_read and 'blank' not in found for record, found in zip(records, kinds, strict=True)]
    )
    exact = exact_groups(records)
    groups = near_groups(records, comparable, thresholds.distance)
    ranks = [
        (bool(found & unwanted), len(found), -record.num_pixels, -record.num_bytes, record.path)
        for found, record in zip(kinds, records, strict=True)
    ]
    best_of_group, best_of_equals = _best(groups, ranks), _best(exact, ranks)
    partner = np.arange(len(records))
    for position, record in enumerate(records):
        for kind, best in (('exact', best_of_equals), ('near', best_of_group)):
            if record.is_read and best[position] != position:
                kinds[position].add(kind)
                partner[position] = best[position]
                break
    return Findings(kinds, partner, groups)


def _of_one(record: ImageRecord, limits: Thresholds) -> set[str]:
    found = set() if is_listable(record.path) else {'unlistable'}
    if record.measures is None or record.shape is None:
        return found | {'unfit' if record.stops_training else 'unreadable'}
    measures = record.measures
    if limits.crop is not None and (record.shape[0] < limits.crop[0] or record.shape[1] < limits.crop[1]):
        found.add('small')
    if measures.contrast <= limits.blank:
        return found | {'blank'}  # from which the others follow
    if measures.bright_end is not None and measures.bright_end < limits.dark:
        found.add('dark')
    if measures.clipped is not None and measures.clipped >= limits.over_exposed:
        found.add('over-exposed')
    if measures.detail < limits.low_detail:
        found.add('low-detail')
    return found


def _best(groups: np.ndarray, ranks: Sequence[tuple]) -> list[int]:
    """For each file the position of the one of its group that has the lowest rank."""
    best: dict[int, int] = {}
    for position, group in enumerate(groups.tolist()):
        if group not in best or ranks[position] < ranks[best[group]]:
            best[group] = position
    return [best[group] for group in groups.tolist()]
