"""Loaders: images a second of one core, and what the main process pays for a batch."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader, Dataset

from simmim_mm.benchmark.photographs import write_jpegs
from simmim_mm.benchmark.pipelines import Pipeline, own_pipeline, pipelines_of
from simmim_mm.benchmark.step import spread
from simmim_mm.benchmark.timing import interleave, median, ratios, take_turn
from simmim_mm.tables import table

SIZES = ((500, 375), (4000, 3000))
# Images a turn are chosen so that a turn takes about as long for all sizes.
PIXELS_A_TURN = 24_000_000


def measure_loader(
    sizes: Sequence[tuple[int, int]] = SIZES, rounds: int = 5, batch_size: int = 256, pixels: int = PIXELS_A_TURN
) -> dict[str, Any]:
    """Measures our pipeline, mmpretrain's and the authors' on photographs.

    Args:
        sizes: (width, height) of the files.
        rounds: Turns of each that count.
        batch_size: Of the batch that the main process receives.
        pixels: Of all images of a turn.

    Returns:
        ``sizes``: by size, ``rows`` with images a second of one core, ratios, and for ours the pixel difference to
        decoding whole files. ``receiving``: CPU seconds of the main process for each batch.
    """
    found: list[dict[str, Any]] = []
    receiving: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for size in sizes:
            files = write_jpegs(f'{folder}/{size[0]}', size, 6)
            pipelines = pipelines_of(files)
            count = max(2, pixels // (size[0] * size[1]))
            rows = rates(pipelines, count, rounds)
            rows[0]['pixel_difference'] = pixel_difference(str(Path(files[0]).parent), count=min(count, 12))
            found.append({'size': list(size), 'images_a_turn': count, 'rows': rows})
        small = write_jpegs(f'{folder}/small', (256, 192), 6)
        pipelines = pipelines_of(small)
        own, host = pipelines['ours'], pipelines['mmpretrain']
        candidates = {
            'ours': Batches(own),
            'ours, files left to the device': Batches(own_pipeline(f'{folder}/small', decode='device')),
            'mmpretrain, pseudo_collate': Samples(host, host.collate),
            'mmpretrain, default_collate': Samples(host, None),
            'authors': Samples(pipelines['authors'], None),
        }
        for name, data in candidates.items():
            seconds = receiving_seconds(data, batch_size, rounds)
            receiving.append({'name': name, 'cpu_s': seconds})
    return {'sizes': found, 'batch_size': batch_size, 'receiving': receiving}


def rates(pipelines: Mapping[str, Pipeline], count: int, rounds: int) -> list[dict[str, Any]]:
    """Times pipelines in turn.

    Args:
        pipelines: By name; the first one is what ratios are to.
        count: Images of a turn.
        rounds: Turns of each that count.

    Returns:
        A row of figures for each.
    """
    turns = interleave(
        {name: lambda one=one: take_turn(lambda: one.batch(range(count))) for name, one in pipelines.items()},  # type: ignore
        rounds,
    )
    relative, base = ratios(turns, next(iter(pipelines))), next(iter(pipelines))
    return [
        {
            'name': name,
            'images_per_s': count / median(turns[name]).wall,
            'images_per_cpu_s': count / median(turns[name]).cpu,
            'wall_ratio': relative[name][0]._asdict(),
            'cpu_ratio': relative[name][1]._asdict(),
            'base': base,
        }
        for name in pipelines
    ]


def pixel_difference(folder: str, count: int) -> float:
    """Mean absolute difference of crops to those of files that are decoded whole, of 255; boxes are the same."""
    fast, whole = own_pipeline(folder), own_pipeline(folder, fast=False)
    pairs = [(fast.sample(number)['inputs'], whole.sample(number)['inputs']) for number in range(count)]
    return statistics.mean((one.float() - other.float()).abs().mean().item() for one, other in pairs)


class Samples(Dataset):
    """Single samples, as hosts load them."""

    def __init__(self, pipeline: Pipeline, collate: Any) -> None:
        self.pipeline, self.collate = pipeline, collate

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> Any:
        return self.pipeline.sample(number)

    def in_worker(self, samples: Any) -> Any:
        """What the loader calls to collate: MMEngine's ``default_collate``, if nothing else is said."""
        return (self.collate or default_collate)(samples)


class Batches(Samples):
    """Whole batches, as our data set writes them."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline, pipeline.collate)

    def in_worker(self, samples: Any) -> Any:
        """Batches are collated already."""
        return samples

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        return self.pipeline.batch(numbers)


def receiving_seconds(data: Samples, batch_size: int, rounds: int) -> float:
    """CPU time of the main process to receive a batch from a worker, until all of it can be read.

    Args:
        data: The samples.
        batch_size: Of the batch.
        rounds: Batches that count; one more goes before them.

    Returns:
        Median seconds.
    """
    order = [list(range(start, start + batch_size)) for start in range(0, batch_size * (rounds + 1), batch_size)]
    loader = DataLoader(
        data,
        batch_sampler=order,
        num_workers=1,
        collate_fn=data.in_worker,
        multiprocessing_context='fork',
        prefetch_factor=1,
    )
    seconds = []
    batches: Iterator[Any] = iter(loader)
    for _ in order:
        start = time.process_time()
        next(batches)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:])


@contextmanager
def one_thread() -> Iterator[None]:
    """As in a worker of the loader: one thread for all libraries. Random states are seeded, and restored."""
    threads, states = (cv2.getNumThreads(), torch.get_num_threads()), np.random.get_state()  # noqa: NPY002
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    np.random.seed(0)  # noqa: NPY002  (of the others' pipelines)
    try:
        yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
        np.random.set_state(states)  # noqa: NPY002


def loader_table(results: Mapping[str, Any]) -> str:
    """The results for people."""
    rows = [
        (
            f'{one["size"][0]}x{one["size"][1]}',
            row['name'],
            f'{row["images_per_s"]:.1f}',
            f'{row["images_per_cpu_s"]:.1f}',
            spread(row['wall_ratio']),
            spread(row['cpu_ratio']),
            f'{row["pixel_difference"]:.2f}' if 'pixel_difference' in row else None,
        )
        for one in results['sizes']
        for row in one['rows']
    ]
    head = ('JPEG', 'pipeline', 'images/s', 'images/CPU s', 'wall / ours', 'CPU / ours', 'off by, of 255')
    base = results['receiving'][0]['cpu_s']
    received = [
        (row['name'], f'{1e3 * row["cpu_s"]:.2f}', f'{row["cpu_s"] / base:.1f}x') for row in results['receiving']
    ]
    return '\n'.join(
        [
            'One process, one thread: from files to a batch.',
            '',
            table(head, rows),
            '',
            f'CPU time of the main process to receive a batch of {results["batch_size"]} from a worker.',
            '',
            table(('loader', 'CPU ms', '/ ours'), received),
        ]
    )
