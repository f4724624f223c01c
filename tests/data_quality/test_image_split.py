"""Training and held-out parts: counts by hand, and what holds for any files and groups."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmim_mm.data_quality.split import SplitRule, class_counts, split

CLASSES = {'cats': 40, 'dogs': 20, 'owls': 10}
PATHS = [f'{name}/{number:03d}.jpg' for name, count in CLASSES.items() for number in range(count)]
ALONE = list(range(len(PATHS)))


def test_a_share_of_each_class_is_held_out():
    parts = split(PATHS, ALONE, SplitRule(0.2, stratify=True))
    assert class_counts(parts.held_out) == {'cats': 8, 'dogs': 4, 'owls': 2}
    assert class_counts(parts.train) == {'cats': 32, 'dogs': 16, 'owls': 8}
    assert sorted(parts.train + parts.held_out) == sorted(PATHS)


@pytest.mark.parametrize(('held_out', 'count'), [(0.1, 7), (0.5, 35), (0.02, 1), (0.0, 0)])
def test_a_share_of_all_is_held_out(held_out, count):
    parts = split(PATHS, ALONE, SplitRule(held_out))
    assert len(parts.held_out) == count
    assert sorted(parts.train + parts.held_out) == sorted(PATHS)


@pytest.mark.parametrize(('balance', 'each'), [('over', 32), ('under', 8)])
def test_classes_are_balanced(balance, each):
    """The training list alone; over-sampling repeats each file of a class as often as any other, give or take one."""
    parts = split(PATHS, ALONE, SplitRule(0.2, stratify=True, balance=balance))
    assert class_counts(parts.train) == dict.fromkeys(CLASSES, each)
    assert class_counts(parts.held_out) == {'cats': 8, 'dogs': 4, 'owls': 2}
    repeats = Counter(parts.train)
    owls = [count for path, count in repeats.items() if path.startswith('owls')]
    assert owls == [4] * 8 if balance == 'over' else owls == [1] * 8
    plain = split(PATHS, ALONE, SplitRule(0.2, stratify=True))
    assert set(parts.train) <= set(plain.train)
    assert parts.held_out == plain.held_out


def test_seeds_differ_and_the_order_of_files_does_not_matter():
    parts = split(PATHS, ALONE, SplitRule(0.3))
    assert split(PATHS[::-1], ALONE[::-1], SplitRule(0.3)) == parts
    assert split(PATHS, ALONE, SplitRule(0.3, seed=1)) != parts


def test_files_that_are_added_move_few_others():
    """Each can push at most one file over the border between the parts."""
    before = split(PATHS, ALONE, SplitRule(0.3))
    added = [f'new/{number}.jpg' for number in range(5)]
    after = split([*PATHS, *added], list(range(len(PATHS) + 5)), SplitRule(0.3))
    moved = set(before.held_out) ^ (set(after.held_out) - set(added))
    assert len(moved) <= 5


@given(
    st.lists(st.integers(0, 12), min_size=25, max_size=60),
    st.floats(0.2, 0.6),
    st.booleans(),
    st.sampled_from([None, 'over', 'under']),
)
def test_groups_are_never_torn(groups, held_out, stratify, balance):
    """For any groups, also such that span classes: each is on one side, and nothing is lost unless it is asked for."""
    paths = [f'{"abc"[number % 3]}/{number}.png' for number in range(len(groups))]
    try:
        parts = split(paths, groups, SplitRule(held_out, stratify, balance))
    except ValueError as error:
        assert 'part empty' in str(error)  # noqa: PT017
        return
    group_of = dict(zip(paths, groups, strict=True))
    assert not {group_of[path] for path in parts.train} & {group_of[path] for path in parts.held_out}
    assert len(set(parts.held_out)) == len(parts.held_out)
    if balance is None:
        assert sorted(parts.train + parts.held_out) == sorted(paths)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(held_out=1.0), 'held_out=1.0 must be a share'),
        (dict(held_out=-0.1), 'held_out=-0.1 must be a share'),
        (dict(held_out=0.1, balance='both'), "balance='both' is unknown"),
        (dict(held_out=0.0, stratify=True), 'give --held-out SHARE too'),
    ],
    ids=str,
)
def test_rules_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SplitRule(**options)


def test_files_outside_of_class_folders_are_refused():
    with pytest.raises(ValueError, match=r"'3\.jpg' is in no class folder"):
        SplitRule(0.1, stratify=True).check(['a/1.jpg', '3.jpg'])
    SplitRule(0.1).check(['3.jpg'])


def test_one_group_cannot_be_split():
    with pytest.raises(ValueError, match='leaves the held-out part empty'):
        split(PATHS, [0] * len(PATHS), SplitRule(0.2))
