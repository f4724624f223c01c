"""Turns, ratios, peaks and tables, on numbers worked by hand."""

import json
import math

import pytest
import torch

from simmim_mm.benchmark.allocations import peak_above_start, size_of
from simmim_mm.benchmark.comparison import difference
from simmim_mm.benchmark.peak import matmul_peak
from simmim_mm.benchmark.results import write_json
from simmim_mm.benchmark.timing import Turn, interleave, median, ratio, ratios, take_turn
from simmim_mm.tables import table

MIB = 2**20


def test_turns_alternate_and_the_first_round_does_not_count():
    """Warm-up backwards, then a, b, then b, a."""
    seen = []

    def turn(name):
        seen.append(name)
        return Turn(float(len(seen)), 0.0)

    results = interleave({name: lambda name=name: turn(name) for name in 'ab'}, rounds=2)
    assert ''.join(seen) == 'ba' + 'ab' + 'ba'
    assert [one.wall for one in results['a']] == [3.0, 6.0]
    assert [one.wall for one in results['b']] == [4.0, 5.0]


def test_ratios_are_those_of_rounds():
    """A machine that is twice as slow in one round changes no ratio: 3/1, 6/2, 2/1, 8/4, 5/1 -> 2, 2, 3, 3, 5."""
    found = ratio([3, 6, 2, 8, 5], [1, 2, 1, 4, 1])
    assert found == (3.0, 2.0, 3.0)
    assert str(found) == '3.00x [2.00, 3.00]'
    assert ratio([3.0], [2.0]) == (1.5, 1.5, 1.5)
    turns = {'ours': [Turn(1, 2), Turn(2, 2)], 'other': [Turn(2, 8), Turn(4, 8)]}
    assert [one.median for one in ratios(turns, 'ours')['other']] == [2.0, 4.0]
    assert median(turns['ours']) == (1.5, 2)


def test_a_turn_is_the_time_of_one_repeat():
    """Counted by a clock of its own."""
    calls = []
    turn = take_turn(lambda: calls.append(sum(range(20000))), repeats=3)
    assert len(calls) == 3
    assert turn.wall > 0
    assert turn.cpu >= 0


def test_peak_memory_counts_what_is_there_at_once():
    """4 MiB, then 4 more; the first is freed before the last 2: 8, not 10, and memory from before does not count."""
    before = torch.zeros(MIB)

    def work():
        first = before + before  # numbers in place of tensors would take some bytes too
        second = first + first
        del first
        return second[: MIB // 2] + second[: MIB // 2]

    assert peak_above_start(work) == 8 * MIB


def test_peak_memory_counts_temporaries_of_operators():
    """A transposed copy inside an operator is nobody's tensor."""
    values = torch.randn(512, 512, 8)
    assert peak_above_start(lambda: torch.cumsum(values, 0).sum()) >= 8 * MIB


def test_memory_that_is_shared_counts_once():
    values = torch.zeros(256)
    assert size_of([values, values[:10], torch.zeros(2, dtype=torch.float64)]) == 1024 + 16


def test_differences_by_hand():
    """Largest of max|a - b| / max|b|: 0.5 / 2 in `a`, 0.1 / 1 in `b`; as a vector, sqrt(0.26 / 5)."""
    reference = 2.0, {'a': torch.tensor([2.0, 0.0]), 'b': torch.tensor([1.0])}
    candidate = 2.1, {'a': torch.tensor([2.0, 0.5]), 'b': torch.tensor([1.1])}
    found = difference(candidate, reference)
    assert found.loss == pytest.approx(0.05)
    assert (found.gradient, found.worst) == (pytest.approx(0.25), 'a')
    assert found.norm == pytest.approx(math.sqrt(0.26 / 5), rel=1e-6)
    with pytest.raises(ValueError, match='different parameters, such as b'):
        difference((2.0, {'a': torch.ones(2)}), reference)


def test_the_peak_is_in_operations(monkeypatch):
    """2 n^3 operations of a product that takes half a second."""
    clock = iter([0.0, 10.0, 10.5, 20.0])
    monkeypatch.setattr('simmim_mm.benchmark.peak.time.perf_counter', lambda: next(clock))
    assert matmul_peak('cpu', 'fp32', side=4) == 2 * 4**3 / 0.5


def test_tables_and_files(tmp_path):
    assert table(('name', 'x'), [('a', 1.5), ('bcdef', None)]).splitlines() == [
        '| name  |   x |',
        '| ----- | --: |',
        '| a     | 1.5 |',
        '| bcdef |   - |',
    ]
    write_json(str(tmp_path / 'new' / 'r.json'), {'a': [1, None]})
    assert json.loads((tmp_path / 'new' / 'r.json').read_text()) == {'a': [1, None]}
    with pytest.raises(ValueError, match='is a folder'):
        write_json(str(tmp_path), {})
