"""Curves over all starts of a run, from what MMEngine logged."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from simmim_mm.report.starts import Start

# What says where a row belongs.
PLACES = ('iter', 'epoch', 'step')


class Series:
    """Values of one key over the iterations of a run.

    Attributes:
        steps: Iterations done, ascending.
        values: As they were logged, NaN included.
    """

    def __init__(self) -> None:
        self.steps = array('q')
        self.values = array('d')

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: int, value: float) -> None:
        """Adds a value; one of the same iteration, or of later ones, is replaced."""
        if self.steps and step <= self.steps[-1]:
            self.cut(step - 1)
        self.steps.append(step)
        self.values.append(value)

    def cut(self, last: int) -> None:
        """Forgets what comes behind an iteration."""
        end = bisect_right(self.steps, last)
        del self.steps[end:], self.values[end:]


class Curves:
    """All keys of a run.

    Attributes:
        series: By key; those of validations begin with ``val/``.
        resumed: Iterations from which later starts went on.
        unreadable: Number of whole lines that are no JSON, as a machine that went down leaves.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.resumed: list[int] = []
        self.unreadable = 0

    @property
    def last_iter(self) -> int:
        """The last iteration that anything is known of."""
        return max((series.steps[-1] for series in self.series.values() if series.steps), default=0)


def read_curves(starts: Iterable[Start]) -> Curves:
    """Reads what all starts of a run logged, each iteration once.

    A start that went on from iteration N replaces what earlier ones logged behind N: weights of which nothing is left.
    A start that logged nothing replaces nothing.

    Args:
        starts: In the order of time.

    Returns:
        The curves.
    """
    curves = Curves()
    for start in starts:
        begin: int | None = start.record.get('start_iter')
        last_iter = begin or 0
        iters_per_epoch = start.record.get('iters_per_epoch')
        fresh = True
        for row in _rows(start, curves):
            trained = isinstance(row.get('iter'), int)
            if begin is None:
                # Of the first start without a record, what it went on from is not there.
                begin = last_iter = int(row['iter']) - 1 if trained and curves.series else 0
            if fresh:
                fresh = False
                _go_on_from(curves, begin)
            if trained:
                last_iter = row['iter']
            place = last_iter if trained else _validated_at(row, last_iter, iters_per_epoch)
            for key, value in row.items():
                if key not in PLACES and isinstance(value, int | float) and not isinstance(value, bool):
                    name = key.removeprefix('train/') if trained else f'val/{key.removeprefix("val/")}'
                    series = curves.series.get(name)
                    if series is None:
                        series = curves.series[name] = Series()
                    series.add(place, value)
    curves.series = {key: series for key, series in curves.series.items() if len(series)}
    return curves


def _rows(start: Start, curves: Curves) -> Iterator[dict[str, Any]]:
    if not start.scalars.is_file():
        return
    with open(start.scalars, encoding='utf-8', errors='replace') as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if isinstance(row, dict):
                yield row
            elif line.endswith('\n'):  # or it is the end, which a run writes at this moment
                curves.unreadable += 1


def _go_on_from(curves: Curves, begin: int) -> None:
    for series in curves.series.values():
        series.cut(begin)
    curves.resumed = [place for place in curves.resumed if place < begin]
    if begin > 0:
        curves.resumed.append(begin)


def _validated_at(row: dict[str, Any], last_iter: int, iters_per_epoch: int | None) -> int:
    """The iteration behind which a validation stood: its row has a number of epochs, of iterations, or zero."""
    step = row.get('step')
    if isinstance(step, int) and step > 0:
        if step >= last_iter:
            return step
        if iters_per_epoch and step * iters_per_epoch >= last_iter:
            return step * iters_per_epoch
    return last_iter
