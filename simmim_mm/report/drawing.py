"""Charts as SVG, and what stands below them."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from simmim_mm.report.axes import Axis, short, shortest, value_axis
from simmim_mm.report.charts import Chart
from simmim_mm.report.downsample import Shown, downsample
from simmim_mm.report.scalars import Series

# In units of the drawing, which is about as wide as a phone.
WIDTH, HEIGHT = 400, 210
LEFT, RIGHT, TOP, BOTTOM = 54, 390, 10, 172
# Finer than a unit, for screens with many pixels.
COLUMNS = 2 * (RIGHT - LEFT)
# Kinds of lines that page.css knows.
KINDS = 6
# How many rows the table of values below a chart has at most.
TABLE_ROWS = 12


def draw(chart: Chart, resumed: Iterable[int], last_iter: int, number: int) -> dict[str, Any]:
    """Draws a chart, for the template of the page.

    Args:
        chart: The chart.
        resumed: Iterations from which the run went on, which are marked.
        last_iter: Right edge.
        number: Of the chart, for names that are unique in the page.

    Returns:
        ``title``, ``unit``, ``logarithmic``, ``svg``, ``lines`` with the figures that stand below, ``rows`` of the
        table of values, and ``data`` for the script, as JSON.
    """
    x_axis = Axis(0, max(1, last_iter))
    shown = [downsample(series.steps, series.values, COLUMNS, (0, max(1, last_iter))) for _, series in chart.lines]
    points = [
        [(step, value) for xs, ys in each.parts for step, value in zip(xs.tolist(), ys.tolist(), strict=True)]
        for each in shown
    ]
    y_axis = value_axis([value for line in points for _, value in line] or [0.0], chart.from_zero)
    lines = [
        {'name': name, 'words': _in_words(series, line, each), 'kind': number % KINDS}
        for number, ((name, series), line, each) in enumerate(zip(chart.lines, points, shown, strict=True))
    ]
    summary = '; '.join(f'{line["name"]}: {line["words"]}' for line in lines)
    drawn = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t{number} d{number}" class="chart">',
        f'<title id="t{number}">{escape(chart.title)} over iterations</title>',
        f'<desc id="d{number}">{escape(summary)}</desc>',
        *_grid(x_axis, y_axis),
        *(_marker('resumed', f'M{_x(x_axis, at):.1f} {TOP}V{BOTTOM}', f'resumed at {at}') for at in resumed),
    ]
    for index, each in enumerate(shown):
        path = ''.join(_path(x_axis, y_axis, xs.tolist(), ys.tolist()) for xs, ys in each.parts)
        drawn.append(f'<path class="line line{index % KINDS}" d="{path}"/>')
        for at in each.not_finite.tolist():
            drawn.append(_marker('bad', f'M{_x(x_axis, at) - 3:.1f} {TOP}l6 6m0-6l-6 6', f'not finite at {at}'))
    data = {
        **{'left': LEFT, 'right': RIGHT, 'top': TOP, 'bottom': BOTTOM, 'last': x_axis.high},
        **{'low': y_axis.low, 'high': y_axis.high, 'log': y_axis.logarithmic},
        'lines': [[(step, float(f'{value:.6g}')) for step, value in line] for line in points],
        'names': [name for name, _ in chart.lines],
    }
    return {
        'title': chart.title,
        'unit': chart.unit,
        'logarithmic': y_axis.logarithmic,
        'svg': ''.join([*drawn, '</svg>']),
        'lines': lines,
        'rows': _rows(chart),
        'data': json.dumps(data, separators=(',', ':')),
    }


def _x(axis: Axis, step: float) -> float:
    return LEFT + axis.place(step) * (RIGHT - LEFT)


def _y(axis: Axis, value: float) -> float:
    return BOTTOM - axis.place(value) * (BOTTOM - TOP)


def _marker(kind: str, path: str, title: str) -> str:
    return f'<path class="{kind}" d="{path}"><title>{title}</title></path>'


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="mark" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _path(x_axis: Axis, y_axis: Axis, xs: Sequence[int], ys: Sequence[float]) -> str:
    points = ' '.join(f'{_x(x_axis, x):.1f} {_y(y_axis, y):.1f}' for x, y in zip(xs, ys, strict=True))
    # A single point is a line of no length, which round ends make a dot of.
    return f'M{points}' if len(xs) > 1 else f'M{points}h0'


def _grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    parts = []
    marks = y_axis.marks()
    for mark, text in zip(marks, shortest(marks), strict=True):
        y = _y(y_axis, mark)
        parts += [f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>', _text(LEFT - 6, y + 4, 'end', text)]
    for mark in x_axis.marks():
        x = _x(x_axis, mark)
        parts.append(_text(x, BOTTOM + 16, 'end' if x > RIGHT - 12 else 'middle', short(mark)))
    return [*parts, _text((LEFT + RIGHT) / 2, HEIGHT - 5, 'middle', 'iterations')]


def _in_words(series: Series, points: Sequence[tuple[int, float]], shown: Shown) -> str:
    """What a drawing says to someone who does not see it. The shown points have the lowest and the highest of all."""
    words = [f'last {series.values[-1]:.4g} at {series.steps[-1]}']
    if points:
        low, high = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
        words += [f'lowest {low[1]:.4g} at {low[0]}', f'highest {high[1]:.4g} at {high[0]}']
    if shown.num_not_finite:
        words.append(f'{shown.num_not_finite} not finite, the first at {shown.not_finite[0]}')
    return ', '.join(words)


def _rows(chart: Chart) -> list[list[str]]:
    """Some values of each line, evenly spread, the last one included."""
    longest = max((series for _, series in chart.lines), key=len)
    every = max(1, math.ceil(len(longest) / TABLE_ROWS))
    steps = longest.steps[::-1][::every][::-1]
    return [[str(step), *(_cell(series, step) for _, series in chart.lines)] for step in steps]


def _cell(series: Series, step: int) -> str:
    index = bisect_left(series.steps, step)
    return f'{series.values[index]:.5g}' if index < len(series) and series.steps[index] == step else '-'
