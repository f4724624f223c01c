"""All that a work dir says of a run, for the template of the page."""

from __future__ import annotations

import contextlib
import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np

from simmim_mm.engine.hooks.unreadable_images import FILE_NAME as UNREADABLE
from simmim_mm.report.charts import arrange
from simmim_mm.report.drawing import draw
from simmim_mm.report.log_warnings import read_warnings
from simmim_mm.report.pictures import read_pictures
from simmim_mm.report.scalars import Curves, Series, read_curves
from simmim_mm.report.starts import Start, find_starts

# From this share of the time on, waiting for data is pointed out.
LONG_WAIT = 0.1
MOST_FILES = 20
MOST_WARNINGS = 40


def describe_run(work_dir: str | Path) -> dict[str, Any]:
    """Collects what stands in the page.

    Args:
        work_dir: Of a run: finished, going on, or broken.

    Returns:
        Texts, numbers and drawings by name.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If nothing in it is of a run.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f'work dir {str(work_dir)!r} is no folder; name the folder that a run wrote to')
    starts = find_starts(folder)
    checkpoints = _checkpoints(folder)
    if not starts and not checkpoints:
        raise ValueError(
            f'{str(work_dir)!r} holds neither logs nor checkpoints of a run; name the --work-dir that train.py was '
            'given (by default work_dirs/NAME_OF_THE_CONFIG)'
        )
    curves = read_curves(starts)
    pictures, num_pictures = read_pictures(folder)
    last_iter = curves.last_iter
    warnings = read_warnings(starts)
    unreadable = _unreadable(folder)
    record: dict[str, Any] = next((start.record for start in reversed(starts) if start.record), {})
    return {
        'name': folder.resolve().name,
        'folder': str(folder.resolve()),
        'made': _time(datetime.datetime.now().timestamp()),
        'status': _status(starts, record, last_iter),
        'figures': _figures(curves, record),
        'notes': _notes(starts, curves, unreadable),
        'warnings': [warning._asdict() for warning in warnings[:MOST_WARNINGS]],
        'num_warnings': len(warnings),
        'charts': [draw(chart, curves.resumed, last_iter, number) for number, chart in enumerate(arrange(curves))],
        'pictures': pictures,
        'num_pictures': num_pictures,
        'data': record.get('data', []),
        'unreadable': unreadable,
        'shown_unreadable': unreadable[:MOST_FILES],
        'starts': [_start(start) for start in starts],
        'checkpoints': checkpoints,
        'environment': _environment(record),
        'config': record.get('config') or _config(folder),
    }


def _status(starts: list[Start], record: dict[str, Any], last_iter: int) -> str:
    total = record.get('max_iters')
    done = f'{last_iter} of {total} iterations are logged' if total else f'{last_iter} iterations are logged'
    if record.get('finished'):
        return f'Finished: {done}.'
    written = [path.stat().st_mtime for start in starts for path in (start.scalars, start.log) if path.is_file()]
    last = f', the last line on {_time(max(written))}' if written else ''
    return f'Going on, or stopped: {done}{last}.'


def _figures(curves: Curves, record: dict[str, Any]) -> list[tuple[str, str]]:
    """The few numbers on top."""
    found = [('iteration', str(curves.last_iter) + (f' / {record["max_iters"]}' if record.get('max_iters') else ''))]
    if 'loss' in curves.series:
        found.append(('loss', f'{curves.series["loss"].values[-1]:.4g}'))
    if 'images_per_s' in curves.series:
        found.append(('images/s', f'{_late(curves.series["images_per_s"]):.4g}'))
    if 'data_wait' in curves.series:
        found.append(('waiting for data', f'{100 * _late(curves.series["data_wait"]):.0f} %'))
    if 'val/hidden_l1' in curves.series:
        found.append(('error on hidden pixels', f'{curves.series["val/hidden_l1"].values[-1]:.4g}'))
    return found


def _late(series: Series) -> float:
    """Mean of the second half, without the beginning, when workers and caches warm up."""
    values = np.asarray(series.values)[len(series) // 2 :]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def _notes(starts: list[Start], curves: Curves, unreadable: list[str]) -> list[str]:
    """What a person should look at."""
    notes = []
    for key, series in curves.series.items():
        bad = np.flatnonzero(~np.isfinite(series.values))
        if len(bad):
            notes.append(f'{key} is not finite in {len(bad)} logged iterations, first in {series.steps[int(bad[0])]}.')
    for start in starts:
        if start.record.get('changes'):
            notes.append(f'Start {start.name} went on with something else: {"; ".join(start.record["changes"])}.')
    if 'data_wait' in curves.series and _late(curves.series['data_wait']) > LONG_WAIT:
        share = 100 * _late(curves.series['data_wait'])
        notes.append(
            f'{share:.0f} % of the time went by with waiting for data: more workers (train_dataloader.num_workers) or '
            'a faster disk would speed the run up.'
        )
    if unreadable:
        notes.append(f'{len(unreadable)} image files could not be read and were skipped.')
    if curves.unreadable:
        notes.append(f'{curves.unreadable} lines of scalars.json are no JSON and were left out.')
    if not curves.series:
        notes.append('No numbers are logged yet: scalars.json is missing or empty.')
    return notes


def _unreadable(folder: Path) -> list[str]:
    try:
        lines = (folder / UNREADABLE).read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return []
    return list(dict.fromkeys(filter(None, lines)))


def _start(start: Start) -> dict[str, Any]:
    record, commit = start.record, (start.record.get('git') or {}).get('simmim_mm')
    return {
        'name': start.name,
        'began': record.get('start_iter', '-'),
        'finished': str(record.get('finished') or 'no').partition('+')[0].replace('T', ' '),
        'seed': record.get('seed', '-'),
        'processes': record.get('num_processes', '-'),
        'commit': f'{commit["commit"][:12]}{" + changes" if commit["dirty"] else ""}' if commit else '-',
        'resumed_from': record.get('resumed_from') or '-',
        'command': record.get('environment', {}).get('command', '-'),
    }


def _checkpoints(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in folder.glob('*.pth'):
        with contextlib.suppress(OSError):  # removed by the run in the meantime
            facts = path.stat()
            row = {'name': path.name, 'mib': f'{facts.st_size / 2**20:.1f}', 'written': _time(facts.st_mtime)}
            found.append((facts.st_mtime, row))
    return [row for _, row in sorted(found, key=lambda each: each[0])]


def _environment(record: dict[str, Any]) -> list[tuple[str, str]]:
    facts = {**record.get('environment', {}), **record.get('versions', {})}
    return [(key, str(value)) for key, value in facts.items() if value is not None]


def _config(folder: Path) -> str:
    """The newest one, where no record has it."""
    paths = [*folder.glob('*/vis_data/config.py'), *folder.glob('*.py')]
    newest = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    return '' if newest is None else newest.read_text(encoding='utf-8', errors='replace')


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')
