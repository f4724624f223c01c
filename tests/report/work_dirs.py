"""Work dirs as runs leave them, written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def write_start(
    work_dir: Path,
    name: str,
    rows: Iterable[Mapping[str, float]],
    record: Mapping | None = None,
    log: Iterable[str] = (),
    cut: str = '',
) -> Path:
    """One start: ``rows`` as scalars, with ``cut`` behind them; no file of scalars without either."""
    folder = work_dir / name
    (folder / 'vis_data').mkdir(parents=True)
    text = ''.join(f'{json.dumps(row)}\n' for row in rows) + cut
    if text:
        (folder / 'vis_data' / 'scalars.json').write_text(text)
    (folder / f'{name}.log').write_text(''.join(f'{line}\n' for line in log))
    if record is not None:
        (folder / 'run_record.json').write_text(json.dumps(record))
    return folder


def trained(iteration: int, **values: float) -> dict[str, float]:
    """A row of training."""
    return {'lr': 0.1, 'loss': 1 / iteration, **values, 'iter': iteration, 'step': iteration}


def write_pictures(work_dir: Path, iterations: Iterable[int]) -> None:
    """Panels of noise."""
    (work_dir / 'reconstructions').mkdir(parents=True, exist_ok=True)
    for iteration in iterations:
        noise = np.random.default_rng(iteration).integers(0, 255, (600, 800, 3), dtype=np.uint8)
        Image.fromarray(noise).save(work_dir / 'reconstructions' / f'iter_{iteration}.png')
