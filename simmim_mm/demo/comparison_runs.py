"""From nothing to a table: data, pre-training, export, and fine-tuning from two starts, each made once."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from simmim_mm.demo.comparison import STARTS, TASKS, summary
from simmim_mm.demo.shapes_dataset import DESCRIPTION, make_shapes_dataset
from simmim_mm.engine.config import load_config
from simmim_mm.environment import num_cores

DATA = Path('data/shapes')  # as in the configs


class Workplace(NamedTuple):
    """Where runs go, and how they share the machine.

    Attributes:
        tools: Folder of ``train.py``, beside ``configs``.
        folder: Of logs, checkpoints and results.
        jobs: Number of fine-tunings at once. The cores are divided among them.
        say: Is told what is being done.
    """

    tools: Path
    folder: Path
    jobs: int = 1
    say: Callable[[str], None] = functools.partial(print, flush=True)

    def run(self, script: str, *arguments: str, log: Path, jobs: int = 1) -> None:
        """Runs a tool to its end.

        Args:
            script: Its name.
            *arguments: What it is given.
            log: File for all that it prints.
            jobs: Number of tools that run at once.

        Raises:
            RuntimeError: If it fails; the end of its log is in the message.
        """
        command = [sys.executable, str(self.tools / script), *arguments]
        threads = os.environ.get('OMP_NUM_THREADS') or str(max(1, num_cores() // jobs))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('w') as file:
            status = subprocess.run(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, 'OMP_NUM_THREADS': threads},
                check=False,
            ).returncode
        if status:
            raise RuntimeError(f'{" ".join(command)} failed, see {log}:\n{log.read_text()[-2000:]}')


def prepare_data(place: Workplace) -> dict[str, Any]:
    """Paints the data set, unless it is there; one that was painted with other numbers stays.

    Returns:
        Seed and counts of the data set.
    """
    description = DATA / DESCRIPTION
    if not description.is_file():
        place.say(f'Painting {DATA}')
        make_shapes_dataset(str(DATA))
    return json.loads(description.read_text())


def pretrain(place: Workplace) -> Path:
    """Runs ``configs/demo/shapes.py`` on all cores and exports its encoder; a run that was cut off goes on.

    Returns:
        File of the encoder.
    """
    config = place.tools.parent / 'configs' / 'demo' / 'shapes.py'
    run_dir, backbone = place.folder / 'pretraining', place.folder / 'backbone.pth'
    iterations = load_config(str(config)).train_cfg.max_iters
    checkpoint = run_dir / f'iter_{iterations}.pth'
    if not checkpoint.is_file():
        place.say(f'Pre-training for {iterations} iterations, log in {run_dir / "log.txt"}')
        arguments = (str(config), '--work-dir', str(run_dir), '--resume')
        place.run('train.py', *arguments, log=run_dir / 'log.txt')
    if not backbone.is_file() or backbone.stat().st_mtime < checkpoint.stat().st_mtime:
        place.say(f'Exporting {backbone}')
        place.run(
            'export_backbone.py', str(checkpoint), str(backbone), '--to', 'mmpretrain', log=place.folder / 'export.txt'
        )
    return backbone


class FineTuning(NamedTuple):
    """A run of one of ``configs/transfer/*/swin_shapes.py``.

    Attributes:
        task: Of :data:`~simmim_mm.demo.comparison.TASKS`.
        start: Of :data:`~simmim_mm.demo.comparison.STARTS`.
        seed: Of the run, and of the choice of labelled images.
        folder: Where it goes.
        arguments: Of ``train.py``.
        made_from: What a result must have been made from not to be made again.
    """

    task: str
    start: str
    seed: int
    folder: Path
    arguments: tuple[str, ...]
    made_from: dict[str, str | None]


def plan_fine_tuning(
    place: Workplace, task: str, start: str, seed: int, backbone: str, cfg_options: Sequence[str] = ()
) -> FineTuning:
    """Reads the config, of which MMEngine can read one at a time.

    Args:
        place: Where.
        task: Which.
        start: From which weights.
        seed: Of everything.
        backbone: File of the pre-trained weights.
        cfg_options: More options of ``train.py --cfg-options``.

    Returns:
        The run.
    """
    config = str(place.tools.parent / 'configs' / 'transfer' / task / 'swin_shapes.py')
    folder = place.folder / task / f'{start}_{seed}'
    pretrained = backbone if start == STARTS[0] else 'none'
    options = [f'randomness.seed={seed}', _choice_of_labels(config, task, seed), *cfg_options]
    made_from = {
        'settings': _digest(load_config(config, cfg_options=options).pretty_text.encode()),
        'weights': None if pretrained == 'none' else _digest(Path(pretrained).read_bytes()),
    }
    arguments = (config, '--pretrained', pretrained, '--work-dir', str(folder), '--cfg-options', *options)
    return FineTuning(task, start, seed, folder, arguments, made_from)


def fine_tune(place: Workplace, run: FineTuning) -> float:
    """Trains, and reads the last validation.

    Args:
        place: Where.
        run: What.

    Returns:
        The metric, in per cent. A run of the same settings and weights that is there is not repeated.

    Raises:
        RuntimeError: If the run fails, or has no validation.
    """
    result = run.folder / 'result.json'
    if result.is_file() and (found := json.loads(result.read_text()))['made_from'] == run.made_from:
        return found['value']
    began = time.time()
    place.run('train.py', *run.arguments, log=run.folder / 'log.txt', jobs=place.jobs)
    value = _last_metric(run.folder, run.task)
    if value is None:
        raise RuntimeError(f'{run.folder} has no {TASKS[run.task].metric} in its log')
    seconds = round(time.time() - began)
    result.write_text(json.dumps({'value': value, 'seconds': seconds, 'made_from': run.made_from}))
    return value


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _choice_of_labels(config: str, task: str, seed: int) -> str:
    """As many labelled images as the config has, but which ones follows from the seed."""
    if task == 'classification':
        return f'train_dataloader.dataset.seed={seed}'
    count = load_config(config).train_dataloader.dataset.indices
    total = json.loads((DATA / DESCRIPTION).read_text())['images']['scenes/train']
    chosen = np.random.default_rng(seed).permutation(total)[:count]
    return f'train_dataloader.dataset.indices=[{",".join(map(str, sorted(chosen)))}]'


def _last_metric(run_dir: Path, task: str) -> float | None:
    """Of the newest run in a folder."""
    records = sorted(run_dir.glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for line in records[-1].read_text().splitlines()] if records else []
    values = [row[TASKS[task].metric] for row in rows if TASKS[task].metric in row]
    return values[-1] * TASKS[task].scale if values else None


def compare(
    place: Workplace,
    tasks: Sequence[str],
    seeds: Sequence[int],
    pretrained: str | None = None,
    cfg_options: Sequence[str] = (),
) -> dict[str, dict[str, list[float]]]:
    """Makes whatever is not there yet, and writes ``results.json``.

    Args:
        place: Where.
        tasks: Of :data:`~simmim_mm.demo.comparison.TASKS`.
        seeds: Of the runs.
        pretrained: File of a backbone to compare, instead of one that is pre-trained here.
        cfg_options: For every fine-tuning.

    Returns:
        Task -> start -> metric of each seed, in per cent.
    """
    data = prepare_data(place)
    backbone = pretrained or str(pretrain(place))
    runs = [
        plan_fine_tuning(place, task, start, seed, backbone, cfg_options)
        for seed in seeds
        for task in tasks
        for start in STARTS
    ]
    values: dict[tuple[int, str, str], float] = {}
    with ThreadPoolExecutor(place.jobs) as pool:
        waiting = {pool.submit(fine_tune, place, run): run for run in runs}
        try:
            for future in as_completed(waiting):
                run = waiting[future]
                values[run.seed, run.task, run.start] = future.result()
                place.say(f'{run.task}, seed {run.seed}, {run.start}: {future.result():.1f}')
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    results = {task: {start: [values[seed, task, start] for seed in seeds] for start in STARTS} for task in tasks}
    record = {
        'data': data,
        'seeds': [*seeds],
        'torch': torch.__version__,
        'values': results,
        'summary': summary(results),
    }
    (place.folder / 'results.json').write_text(json.dumps(record, indent=2) + '\n')
    return results
