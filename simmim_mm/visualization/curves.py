"""Curves of what runs logged."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Step and value, in order.
Curve = list[tuple[int, float]]


def read_curves(work_dir: str) -> dict[str, Curve]:
    """Reads the scalars of a run, of all its starts.

    Where a resumed run computed iterations again, the newer values count. A line that was cut off is passed over.

    Args:
        work_dir: Of the run.

    Returns:
        Curves by name.

    Raises:
        FileNotFoundError: If there is no run.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(
            f'no run stands in {work_dir!r} (seen from {os.getcwd()}): there is no */vis_data/scalars.json in it; name '
            'the work dir of a run'
        )
    curves: dict[str, dict[int, float]] = {}
    for path in files:
        with open(path, encoding='utf-8') as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue
                for name, value in row.items():
                    if name != 'step' and isinstance(value, int | float) and 'step' in row:
                        curves.setdefault(name, {})[int(row['step'])] = float(value)
    return {name: sorted(values.items()) for name, values in curves.items()}


def plot_curves(work_dirs: Sequence[str], panels: Sequence[str], out: str) -> str:
    """Draws curves of one run or several.

    Args:
        work_dirs: Of the runs; more than one are told apart by the names of their folders.
        panels: A panel each: a name that was logged, or several with commas between them, such as
            ``'val/hidden_l1,val/mean_colour_l1'``.
        out: The picture to write, which ends with ``.png`` or ``.svg``.

    Returns:
        The path.

    Raises:
        FileNotFoundError: If there is no run in a folder.
        ValueError: If no run has one of the names, or the picture's ending is another.
    """
    if not out.endswith(('.png', '.svg')):
        raise ValueError(f'--out {out!r} must end with .png or .svg')
    runs = {os.path.basename(os.path.normpath(folder)): read_curves(folder) for folder in work_dirs}
    figure = Figure(figsize=(3.3 * len(panels), 2.6), layout='constrained')
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        names = panel.split(',')
        axes = figure.add_subplot(1, len(panels), number + 1)
        for name in names:
            having = {run: curves[name] for run, curves in runs.items() if name in curves}
            if not having:
                known = sorted({known for curves in runs.values() for known in curves})
                raise ValueError(f'none of the runs logged {name!r}; they logged {", ".join(known)}')
            for run, curve in having.items():
                label = ', '.join([name] * (len(names) > 1) + [run] * (len(runs) > 1))
                axes.plot(*zip(*curve, strict=True), linewidth=1.2, label=label)
        axes.set_ylabel(names[0] if len(names) == 1 else '', fontsize=8)
        axes.set_xlabel('step', fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if len(names) > 1 or len(runs) > 1:
            # Above the panel, where it hides no curve.
            axes.legend(fontsize=7, loc='lower left', bbox_to_anchor=(0, 1), borderaxespad=0, frameon=False)
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    figure.savefig(out, dpi=110)
    return out
