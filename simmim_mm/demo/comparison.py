"""The same fine-tuning from pre-trained and from random weights, over several seeds, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Task(NamedTuple):
    """A kind of fine-tuning on the painted shapes.

    Attributes:
        metric: Its name in the log.
        label: What a table calls it.
        scale: Factor to per cent.
    """

    metric: str
    label: str
    scale: float


TASKS = {
    'classification': Task('accuracy/top1', 'top-1', 1.0),
    'segmentation': Task('mIoU', 'mIoU', 1.0),
    'detection': Task('coco/bbox_mAP', 'box AP', 100.0),
}
STARTS = ('pre-trained', 'random')

# Task -> start -> metric of each seed, in per cent, in the same order of seeds.
Results = Mapping[str, Mapping[str, Iterable[float]]]


def comparison_table(results: Results) -> str:
    """A table in Markdown.

    Args:
        results: What was reached.

    Returns:
        Mean and standard deviation over seeds, and those of the differences seed by seed.
    """
    lines = ['| task | metric | pre-trained | random | difference |', '|---|---|---|---|---|']
    for task, starts in results.items():
        first, second = (list(starts[start]) for start in STARTS)
        cells = [_spread(values) for values in (first, second)] + [_spread(_gains(first, second), sign='+')]
        lines.append(f'| {task} | {TASKS[task].label} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def summary(results: Results) -> dict[str, dict[str, dict[str, float | None]]]:
    """The numbers of the table: task -> ``'pre-trained'``, ``'random'`` or ``'difference'`` -> mean and deviation.

    Args:
        results: What was reached.

    Returns:
        In per cent; the deviation of one seed is None.
    """
    numbers = {}
    for task, starts in results.items():
        first, second = (list(starts[start]) for start in STARTS)
        columns = dict(zip((*STARTS, 'difference'), (first, second, _gains(first, second)), strict=True))
        numbers[task] = {
            name: {'mean': statistics.mean(values), 'deviation': statistics.stdev(values) if len(values) > 1 else None}
            for name, values in columns.items()
        }
    return numbers


def _gains(first: list[float], second: list[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


def _spread(values: list[float], sign: str = '') -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float('nan')
    return f'{statistics.mean(values):{sign}.1f} ± {deviation:.1f}'
