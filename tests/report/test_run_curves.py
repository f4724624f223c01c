"""Curves over several starts: each iteration once, of the run that went on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from work_dirs import trained, write_start

from simmim_mm.report.axes import Axis, short, shortest, value_axis
from simmim_mm.report.charts import arrange
from simmim_mm.report.downsample import downsample
from simmim_mm.report.log_warnings import read_warnings
from simmim_mm.report.scalars import Curves, Series, read_curves
from simmim_mm.report.starts import find_starts


def curves_of(work_dir):
    return read_curves(find_starts(work_dir))


def points(curves, key: str) -> dict[int, float]:
    series = curves.series[key]
    assert list(series.steps) == sorted(set(series.steps))
    return dict(zip(series.steps, series.values, strict=True))


def test_what_was_computed_again_counts_once(tmp_path):
    """Killed behind 60, resumed at 40; the record says where, though the first row comes later."""
    write_start(tmp_path, '20260101_000000', [trained(step, loss=1.0) for step in (20, 40, 45, 60)])
    write_start(tmp_path, '20260102_000000', [trained(step, loss=2.0) for step in (60, 80)], {'start_iter': 40})
    curves = curves_of(tmp_path)
    assert points(curves, 'loss') == {20: 1.0, 40: 1.0, 60: 2.0, 80: 2.0}
    assert curves.resumed == [40]
    assert curves.last_iter == 80


def test_without_a_record_the_first_row_says_where(tmp_path):
    write_start(tmp_path, '20260101_000000', [trained(step, loss=1.0) for step in (20, 40, 60)])
    write_start(tmp_path, '20260102_000000', [trained(step, loss=2.0) for step in (40, 60)])
    assert points(curves_of(tmp_path), 'loss') == {20: 1.0, 40: 2.0, 60: 2.0}


def test_a_new_run_in_the_same_folder_replaces_the_old_one(tmp_path):
    write_start(tmp_path, '20260101_000000', [trained(step, other=1.0) for step in (20, 40)])
    write_start(tmp_path, '20260102_000000', [trained(10)], {'start_iter': 0})
    curves = curves_of(tmp_path)
    assert list(points(curves, 'loss')) == [10]
    assert 'other' not in curves.series
    assert curves.resumed == []


def test_a_start_that_logged_nothing_replaces_nothing(tmp_path):
    write_start(tmp_path, '20260101_000000', [trained(20), trained(40)])
    write_start(tmp_path, '20260102_000000', [], {'start_iter': 0})
    assert list(points(curves_of(tmp_path), 'loss')) == [20, 40]


def test_three_starts_the_last_of_which_goes_back_furthest(tmp_path):
    write_start(tmp_path, '1', [trained(step, loss=1.0) for step in range(10, 101, 10)])
    write_start(tmp_path, '2', [trained(step, loss=2.0) for step in range(90, 151, 10)], {'start_iter': 80})
    write_start(tmp_path, '3', [trained(step, loss=3.0) for step in range(40, 61, 10)], {'start_iter': 30})
    curves = curves_of(tmp_path)
    assert points(curves, 'loss') == {10: 1.0, 20: 1.0, 30: 1.0, 40: 3.0, 50: 3.0, 60: 3.0}
    assert curves.resumed == [30]


@pytest.mark.parametrize(
    ('step', 'record', 'expected'),
    [
        (50, {}, 50),  # LoggerHook(log_metric_by_epoch=False)
        (0, {}, 40),  # of a loop of iterations, as MMEngine logs by default
        (2, {'start_iter': 0, 'iters_per_epoch': 25}, 50),  # the second epoch
        (2, {}, 40),  # an epoch of unknown length: where training was
    ],
)
def test_validations_stand_where_they_were_made(tmp_path, step, record, expected):
    rows = [trained(20), trained(40), {'val/hidden_l1': 0.5, 'time': 0.1, 'step': step}]
    write_start(tmp_path, '1', rows, record or None)
    curves = curves_of(tmp_path)
    assert points(curves, 'val/hidden_l1') == {expected: 0.5}
    assert points(curves, 'val/time') == {expected: 0.1}
    assert 'time' not in curves.series


def test_a_validation_of_what_was_computed_again_counts_once(tmp_path):
    write_start(tmp_path, '1', [trained(20), {'val/x': 1.0, 'step': 20}, trained(40), {'val/x': 1.0, 'step': 40}])
    write_start(tmp_path, '2', [trained(40), {'val/x': 2.0, 'step': 40}], {'start_iter': 30})
    assert points(curves_of(tmp_path), 'val/x') == {20: 1.0, 40: 2.0}


def test_lines_that_are_no_rows_are_counted(tmp_path):
    """But for one without an end, which a run may be writing."""
    write_start(tmp_path, '1', [trained(20)], cut='[1]\n{"lr": 0.1, "lo')
    write_start(tmp_path, '2', [trained(40, loss=math.nan)], {'start_iter': 20}, cut='\n\x00\x00\n')
    curves = curves_of(tmp_path)
    assert curves.unreadable == 2
    assert math.isnan(points(curves, 'loss')[40])


def test_keys_with_hierarchy_are_the_same(tmp_path):
    """``log_processor=dict(log_with_hierarchy=True)``."""
    write_start(tmp_path, '1', [{'train/loss': 0.5, 'iter': 3, 'step': 3}, {'val/x': 1.0, 'step': 3}])
    assert set(curves_of(tmp_path).series) == {'loss', 'val/x'}


def series_of(values, steps=None) -> Series:
    series = Series()
    for step, value in zip(steps or range(1, len(values) + 1), values, strict=True):
        series.add(step, value)
    return series


def test_validations_of_one_unit_share_a_chart():
    curves = Curves()
    for key in ('loss', 'lr', 'base_lr', 'val/hidden_l1', 'val/local_mean_l1', 'val/hidden_objective', 'odd'):
        curves.series[key] = series_of([1.0])
    curves.series |= {'data_time': series_of([0.2, 0.1]), 'time': series_of([0.4, 0.4])}
    charts = arrange(curves)
    assert [[name for name, _ in chart.lines] for chart in charts] == [
        ['loss'],
        ['hidden_l1', 'local_mean_l1'],
        ['hidden_objective'],
        ['lr'],
        ['data_wait'],
        ['time'],
        ['odd'],
    ]
    (wait,) = (series for chart in charts for name, series in chart.lines if name == 'data_wait')
    assert list(wait.values) == pytest.approx([0.5, 0.25])


@given(
    values=st.lists(st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=300),
    columns=st.integers(1, 40),
    gap=st.integers(1, 7),
)
def test_every_column_keeps_its_extremes(values, columns, gap):
    """Against sorting each value into its column by hand."""
    steps = [gap * number for number in range(1, len(values) + 1)]
    last = max([1, *steps])
    shown = downsample(steps, values, columns, (0, last))
    kept = [(step, value) for xs, ys in shown.parts for step, value in zip(xs, ys, strict=True)]
    given_points = dict(zip(steps, values, strict=True))
    assert all(given_points[step] == value for step, value in kept)
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})
    finite = {step: value for step, value in given_points.items() if math.isfinite(value)}
    for column in range(columns):
        inside = [value for step, value in finite.items() if min(columns - 1, step * columns // last) == column]
        left = [value for step, value in kept if min(columns - 1, step * columns // last) == column]
        if inside:
            assert (min(left), max(left)) == (min(inside), max(inside))
    if finite:
        assert (kept[0][0], kept[-1][0]) == (min(finite), max(finite))
    assert len(kept) <= 2 * columns + 2
    bad = [step for step in steps if step not in finite]
    assert shown.num_not_finite == len(bad)
    assert set(shown.not_finite) <= set(bad)
    for (before, _), (after, _) in zip(shown.parts, shown.parts[1:], strict=False):
        assert any(before[-1] < step < after[0] for step in bad)
    for xs, _ in shown.parts:
        assert not any(xs[0] < step < xs[-1] for step in bad)


def test_a_spike_of_one_iteration_in_a_million_is_seen():
    values = np.ones(1_000_000)
    values[777_777] = 50.0
    shown = downsample(range(1, 1_000_001), values, 600, (0, 1_000_000))
    ((xs, ys),) = shown.parts
    assert len(xs) <= 1202
    assert xs[ys.argmax()] == 777_778


@given(st.lists(st.floats(-1e299, 1e299), min_size=1, max_size=20), st.booleans())
def test_scales_hold_all_values_and_have_marks_inside(values, from_zero):
    axis = value_axis(values, from_zero)
    assert all(-1e-9 <= axis.place(value) <= 1 + 1e-9 for value in values)
    marks = axis.marks()
    assert len(marks) <= 11
    assert all(-1e-6 <= axis.place(mark) <= 1 + 1e-6 for mark in marks)
    texts = shortest(marks)
    assert len(set(texts)) == len(texts) or axis.high - axis.low < 1e-13 * abs(axis.high)


def test_marks_are_round():
    assert Axis(0, 500).marks() == [0, 100, 200, 300, 400, 500]
    assert Axis(0.03, 0.11).marks() == pytest.approx([0.04, 0.06, 0.08, 0.1])
    assert Axis(0.01, 1000, logarithmic=True).marks() == pytest.approx([0.01, 1, 100])
    numbers = {0.25: '0.25', 1200: '1200', 50_000: '50k', 1_500_000: '1.5M', 0: '0', 0.00075: '7.5e-4', -2e-9: '-2e-9'}
    assert [short(value) for value in numbers] == list(numbers.values())
    assert shortest([1.00001, 1.00002]) == ['1.00001', '1.00002']


def test_a_scale_with_spikes_is_logarithmic():
    assert value_axis([0.5] * 10 + [400.0]).logarithmic
    assert not value_axis([0.5] * 10 + [4.0]).logarithmic
    assert not value_axis([-0.5] * 10 + [400.0]).logarithmic


def test_warnings_are_collected_over_all_starts(tmp_path):
    time = '2026/01/01 00:00:0'
    first = [
        f'{time}0 - mmengine - INFO - nothing - WARNING - of the kind',
        f'{time}1 - mmengine - WARNING - twice',
        f'{time}2 - mmengine - WARNING - over',
        'two lines',
        f'{time}3 - mmengine - INFO - Epoch(train)',
        'no part of it',
    ]
    write_start(tmp_path, '1', [], log=first)
    write_start(tmp_path, '2', [], log=[f'{time}4 - mmengine - ERROR - worse', f'{time}5 - mmengine - WARNING - twice'])
    found = read_warnings(find_starts(tmp_path))
    assert [(warning.level, warning.text, warning.times) for warning in found] == [
        ('ERROR', 'worse', 1),
        ('WARNING', 'twice', 2),
        ('WARNING', 'over\ntwo lines', 1),
    ]
    assert found[1].first == f'{time}1'
