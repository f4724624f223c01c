"""All tables of a GPU in one call: steps on synthetic batches and from JPEG files, by batch size, and a profile."""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from simmim_mm.acceleration import LEVERS, check_acceleration
from simmim_mm.acceleration.fp8 import device_refusal
from simmim_mm.benchmark.candidates import OwnCandidate, Setup
from simmim_mm.benchmark.loader import Batches, Samples
from simmim_mm.benchmark.photographs import write_jpegs
from simmim_mm.benchmark.pipelines import Pipeline, own_pipeline, pipelines_of
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.seats import LocalSeat, Maker
from simmim_mm.benchmark.step import measure_seats, spread, step_table
from simmim_mm.benchmark.timing import Turn, interleave, median, ratios, take_turn
from simmim_mm.datasets.device_decoding import check_device
from simmim_mm.environment import num_cores
from simmim_mm.tables import table

COMPILED = 'ours, compiled'
FP8 = 'ours, compiled, FP8'
# The step of ours, whose preprocessor decodes the files.
DECODED = 'ours, decoded on the device'


def makers_of(setup: Setup, against: Sequence[str]) -> dict[str, Maker]:
    """Ours, ours compiled where there is such a lever, in FP8 where the device has it, and those of others."""
    makers: dict[str, Maker] = {'ours': 'ours'}
    if 'compile' in LEVERS:
        settings = {**check_acceleration(setup.cfg.get('acceleration')), 'compile': True}
        makers[COMPILED] = functools.partial(OwnCandidate, name=COMPILED, acceleration=settings)
        if importlib.util.find_spec('torchao') is not None and device_refusal(torch.device(setup.plan.device)) is None:
            makers[FP8] = functools.partial(OwnCandidate, name=FP8, acceleration={**settings, 'fp8': True})
    return {**makers, **{name: name for name in against}}


def measure_gpu(
    plan: Plan,
    batch_sizes: Sequence[int] = (128, 256, 512),
    against: Sequence[str] = ('mmpretrain',),
    rounds: int = 5,
    repeats: int = 10,
    jpeg_size: tuple[int, int] = (500, 375),
) -> dict[str, Any]:
    """Measures everything for each batch size.

    Args:
        plan: The settings.
        batch_sizes: Images a step.
        against: ``'mmpretrain'``, whose loader is measured too, ``'plain'``, or none.
        rounds: Turns of each that count.
        repeats: Steps a turn.
        jpeg_size: (width, height) of the files.

    Returns:
        ``batches``, one a batch size, each with ``synthetic``, ``jpeg`` and ``profile``, or ``error`` where memory was
        too small; whether ours was ``compiled``; and the plan.
    """
    batches = []
    for size in batch_sizes:
        one = plan.replace(batch_size=size)
        try:
            batches.append({'batch_size': size, **_measure_batch(one, against, rounds, repeats, jpeg_size)})
        except torch.OutOfMemoryError as error:
            batches.append({'batch_size': size, 'error': f'out of memory: {str(error).splitlines()[0]}'})
        if plan.device == 'cuda':
            torch.cuda.empty_cache()
    return {'plan': plan.as_dict(), 'compiled': 'compile' in LEVERS, 'batches': batches}


def _measure_batch(
    plan: Plan, against: Sequence[str], rounds: int, repeats: int, jpeg_size: tuple[int, int]
) -> dict[str, Any]:
    setup = Setup(plan)
    seats = {name: LocalSeat(setup, maker) for name, maker in makers_of(setup, against).items()}
    synthetic = {'plan': plan.as_dict(), **measure_seats(setup, seats, rounds, repeats)}
    trained = {name: seat for name, seat in seats.items() if hasattr(seat.candidate.model, 'train_step')}
    jpeg = _from_files(plan, trained, rounds, repeats, jpeg_size, setup.reference.image_hw[0])
    fastest = COMPILED if COMPILED in seats else 'ours'
    return {'synthetic': synthetic, 'jpeg': jpeg, 'profile': _profile(seats[fastest], plan.device)}


def _from_files(
    plan: Plan, seats: Mapping[str, LocalSeat], rounds: int, repeats: int, jpeg_size: tuple[int, int], side: int
) -> list[dict[str, Any]]:
    """Steps with the loader of each: workers, collating, copying and all."""
    workers = max(1, num_cores() - 1) if plan.device == 'cuda' else 1
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(write_jpegs(folder, jpeg_size, 64), seats, side, plan.device)
        loaders: dict[str, Iterator[Any]] = {}
        for name, (_, pipeline) in ways.items():
            others = name == 'mmpretrain'
            data = Samples(pipeline, None) if others else Batches(pipeline)
            number = (rounds + 1) * repeats
            order = [list(range(i * plan.batch_size, (i + 1) * plan.batch_size)) for i in range(number)]
            loaders[name] = iter(
                DataLoader(
                    data,
                    batch_sampler=order,
                    num_workers=workers,
                    collate_fn=data.in_worker,
                    pin_memory=plan.device == 'cuda' and not others,  # as the config of each has it
                    multiprocessing_context='fork',
                )
            )

        def turn(name: str) -> Turn:
            candidate: Any = ways[name][0].candidate
            work = lambda: candidate.model.train_step(next(loaders[name]), candidate.optim_wrapper)  # noqa: E731
            return take_turn(work, repeats, plan.device)

        turns = interleave({name: functools.partial(turn, name) for name in ways}, rounds)
    relative = ratios(turns, 'ours')
    return [
        {
            'name': name,
            'wall_s': median(turns[name]).wall,
            'images_per_s': plan.batch_size / median(turns[name]).wall,
            'wall_ratio': relative[name][0]._asdict(),
            'workers': workers,
        }
        for name in ways
    ]


def _ways(
    files: Sequence[str], seats: Mapping[str, LocalSeat], side: int, device: str
) -> dict[str, tuple[LocalSeat, Pipeline]]:
    """Who steps, and from which loader; on the device too where it decodes."""
    pipelines = pipelines_of(files, side)
    ways = {name: (seat, pipelines['mmpretrain' if name == 'mmpretrain' else 'ours']) for name, seat in seats.items()}
    try:
        check_device(torch.device(device))
    except ValueError:  # a torchvision without the decoder, which says so where it is asked for
        return ways
    return {**ways, DECODED: (seats['ours'], own_pipeline(str(Path(files[0]).parent), side, decode='device'))}


def _profile(seat: LocalSeat, device: str, steps: int = 3, rows: int = 25) -> dict[str, Any]:
    """Where the time of a step goes: operators by their own time on the device."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == 'cuda' else [])]
    with profile(activities=activities) as record:
        seat.turn(steps)
    key = 'self_device_time_total' if device == 'cuda' else 'self_cpu_time_total'
    events = sorted(record.key_averages(), key=lambda event: getattr(event, key), reverse=True)
    total = sum(getattr(event, key) for event in events) or 1
    return {
        'of': seat.candidate.name,
        'total_ms': total / 1e3 / steps,
        'rows': [
            {
                'name': event.key,
                'calls': event.count / steps,
                'ms': getattr(event, key) / 1e3 / steps,
                'share': getattr(event, key) / total,
            }
            for event in events[:rows]
        ],
    }


def gpu_table(results: Mapping[str, Any]) -> str:
    """The results for people, in Markdown."""
    parts = []
    if not results['compiled']:
        parts.append('There is no lever `compile` in this version: nothing was compiled.')
    for batch in results['batches']:
        parts.append(f'## Batch {batch["batch_size"]}')
        if 'error' in batch:
            parts.append(batch['error'])
            continue
        parts += ['Synthetic batches:', step_table(batch['synthetic'])]
        rows = [
            (row['name'], f'{1e3 * row["wall_s"]:.1f}', f'{row["images_per_s"]:.1f}', spread(row['wall_ratio']))
            for row in batch['jpeg']
        ]
        parts.append(f'From JPEG files, with {batch["jpeg"][0]["workers"]} workers each:')
        parts.append(table(('step', 'wall ms', 'images/s', 'wall / ours'), rows))
        found = batch['profile']
        rows = [
            (row['name'][:60], f'{row["calls"]:.0f}', f'{row["ms"]:.2f}', f'{100 * row["share"]:.1f} %')
            for row in found['rows']
        ]
        parts.append(f'Profile of {found["of"]}, {found["total_ms"]:.1f} ms a step:')
        parts.append(table(('operator', 'calls', 'ms', 'share'), rows))
    return '\n\n'.join(parts)


def write_markdown(path: str, heading: str, text: str) -> None:
    """Writes the tables beside the JSON file."""
    Path(path).write_text(f'# Measured on a GPU\n\n{heading}\n\n{text}\n', encoding='utf-8')
