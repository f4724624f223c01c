"""Curves of what runs logged."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simmim_mm.report.scalars import Series, read_curves
from simmim_mm.report.starts import find_starts


def curves_of(work_dir: str) -> dict[str, Series]:
    """What a run logged, in all its starts: see :func:`~simmim_mm.report.scalars.read_curves`.

    Raises:
        FileNotFoundError: If there is no run.
    """
    starts = find_starts(work_dir)
    if not any(start.scalars.is_file() for start in starts):
        raise FileNotFoundError(
            f'no run stands in {work_dir!r} (seen from {os.getcwd()}): there is no */vis_data/scalars.json in it; name '
            'the work dir of a run'
        )
    return read_curves(starts).series


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
        ValueError: If no run has one of the names, or any at all, or the picture's ending is another.
    """
    if not out.endswith(('.png', '.svg')):
        raise ValueError(f'--out {out!r} must end with .png or .svg')
    runs = {os.path.basename(os.path.normpath(folder)): curves_of(folder) for folder in work_dirs}
    figure = Figure(figsize=(3.3 * len(panels), 2.6), layout='constrained')
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        names = panel.split(',')
        axes = figure.add_subplot(1, len(panels), number + 1)
        for name in names:
            having = {run: curves[name] for run, curves in runs.items() if name in curves}
            if not having:
                known = sorted({known for curves in runs.values() for known in curves})
                if not known:
                    raise ValueError(
                        f'nothing is logged yet in {", ".join(map(repr, work_dirs))}, so there is no {name!r} to draw; '
                        'wait for the first line of the log (default_hooks.logger.interval says how often one is '
                        'written), or name the work dir of another run'
                    )
                raise ValueError(f'none of the runs logged {name!r}; they logged {", ".join(known)}')
            for run, curve in having.items():
                label = ', '.join([name] * (len(names) > 1) + [run] * (len(runs) > 1))
                marker = 'o' if len(curve.values) == 1 else ''  # a line of one point is none
                axes.plot(curve.steps, curve.values, linewidth=1.2, marker=marker, markersize=4, label=label)
        axes.set_ylabel(names[0] if len(names) == 1 else '', fontsize=8)
        axes.set_xlabel('iteration', fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if len(names) > 1 or len(runs) > 1:
            # Above the panel, where it hides no curve.
            axes.legend(fontsize=7, loc='lower left', bbox_to_anchor=(0, 1), borderaxespad=0, frameon=False)
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    figure.savefig(out, dpi=110)
    return out
