"""The same fine-tuning from pre-trained and from random weights, over several seeds."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
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


def fine_tune(
    tools: Path, task: str, pretrained: str, seed: int, work_dir: Path, cfg_options: Sequence[str] = ()
) -> float:
    """Trains one of ``configs/transfer/*/swin_shapes.py`` and reads its last validation.

    Args:
        tools: Folder of ``train.py``, beside ``configs``.
        task: One of :data:`TASKS`.
        pretrained: File of the backbone, or ``'none'``.
        seed: Of the run; for classification, also of the choice of labels.
        work_dir: Where the run goes. One that has its result already is not repeated.
        cfg_options: More options of ``train.py --cfg-options``.

    Returns:
        The metric, in per cent.

    Raises:
        RuntimeError: If the run fails; the end of its log is in the message.
    """
    if (done := _last_metric(work_dir, task)) is not None:
        return done
    config = tools.parent / 'configs' / 'transfer' / task / 'swin_shapes.py'
    options = [f'randomness.seed={seed}', *cfg_options]
    if task == 'classification':
        options.append(f'train_dataloader.dataset.seed={seed}')
    command = [sys.executable, str(tools / 'train.py'), str(config), '--pretrained', pretrained]
    command += ['--work-dir', str(work_dir), '--cfg-options', *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{(result.stdout + result.stderr)[-2000:]}')
    value = _last_metric(work_dir, task)
    if value is None:
        raise RuntimeError(f'{work_dir} has no {TASKS[task].metric} in its log')
    return value


def _last_metric(work_dir: Path, task: str) -> float | None:
    rows = [
        json.loads(line)
        for record in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in record.read_text().splitlines()
    ]
    values = [row[TASKS[task].metric] for row in rows if TASKS[task].metric in row]
    return values[-1] * TASKS[task].scale if values else None


def comparison_table(results: Mapping[str, Mapping[str, Iterable[float]]]) -> str:
    """A table in Markdown.

    Args:
        results: Task -> start -> metric of each seed, in the same order of seeds.

    Returns:
        Mean and standard deviation over seeds, and those of the differences seed by seed.
    """
    lines = ['| task | metric | pre-trained | random | difference |', '|---|---|---|---|---|']
    for task, starts in results.items():
        first, second = (list(starts[start]) for start in STARTS)
        gains = [a - b for a, b in zip(first, second, strict=True)]
        cells = [_spread(values) for values in (first, second)] + [_spread(gains, sign='+')]
        lines.append(f'| {task} | {TASKS[task].label} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def _spread(values: list[float], sign: str = '') -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float('nan')
    return f'{statistics.mean(values):{sign}.1f} ± {deviation:.1f}'
