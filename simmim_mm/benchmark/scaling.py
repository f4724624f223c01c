"""Step time and memory against image area, batch and model size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simmim_mm.benchmark.allocations import MIB
from simmim_mm.benchmark.candidates import Setup
from simmim_mm.benchmark.operations import step_operations
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.seats import LocalSeat
from simmim_mm.benchmark.timing import interleave, median
from simmim_mm.tables import table

AXES = {'img_size': 'image area (pixels)', 'batch_size': 'batch (images)', 'arch': 'model size (parameters)'}
QUANTITIES = {'wall_s': 'step time', 'cpu_s': 'CPU time', 'peak_memory': 'peak memory', 'operations': 'operations'}


def slope(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Exponent of the power law through points: the slope of the least-squares line between logarithms.

    Args:
        sizes: Positive.
        values: Positive, as many.

    Returns:
        1 for what grows in proportion, 2 for a square; None for fewer than two different sizes.
    """
    x, y = ([math.log(value) for value in one] for one in (sizes, values))
    middle, height = sum(x) / len(x), sum(y) / len(y)
    width = sum((one - middle) ** 2 for one in x)
    if width == 0:
        return None
    return sum((one - middle) * (other - height) for one, other in zip(x, y, strict=True)) / width


def measure_scaling(
    plan: Plan,
    img_sizes: Sequence[int] = (192, 384, 576),
    batch_sizes: Sequence[int] = (1, 2, 4, 8),
    archs: Sequence[str] = ('tiny', 'small', 'base'),
    rounds: int = 3,
    repeats: int = 1,
) -> dict[str, Any]:
    """Measures our step along three axes, the others held at the plan's.

    Args:
        plan: The settings.
        img_sizes: Sides of images, in pixels.
        batch_sizes: Images a step.
        archs: Values of the encoder's ``arch``.
        rounds: Turns of each point that count.
        repeats: Steps a turn.

    Returns:
        ``axes``: by axis, ``points`` and the fitted ``slopes``; and the plan.

    Raises:
        ValueError: If a size does not fit the model.
    """
    asked = {
        'img_size': [plan.replace(img_size=size) for size in img_sizes],
        'batch_size': [plan.replace(batch_size=size) for size in batch_sizes],
        'arch': [plan.replace(backbone={**plan.backbone, 'arch': arch}) for arch in archs],
    }
    axes = {}
    for axis, plans in asked.items():
        points = [_point(axis, one, rounds, repeats) for one in plans]
        sizes = [point['size'] for point in points]
        slopes = {name: slope(sizes, [point[name] for point in points]) for name in QUANTITIES} if points else {}
        axes[axis] = {'points': points, 'slopes': slopes}
    return {'plan': plan.as_dict(), 'axes': axes}


def _point(axis: str, plan: Plan, rounds: int, repeats: int) -> dict[str, Any]:
    """One at a time: all models together would not fit, and no point is compared with another's time alone."""
    setup = Setup(plan)
    parameters = sum(parameter.numel() for parameter in setup.reference.parameters())
    height, width = setup.reference.image_hw
    size = {'img_size': height * width, 'batch_size': plan.batch_size, 'arch': parameters}[axis]
    label = {'img_size': f'{height}x{width}', 'batch_size': str(plan.batch_size), 'arch': plan.backbone.get('arch')}[
        axis
    ]
    seat = LocalSeat(setup, 'ours')
    memory = seat.peak_memory()
    turns = interleave({'ours': lambda: seat.turn(repeats)}, rounds)['ours']
    middle = median(turns)
    return {
        'label': label,
        'size': size,
        'wall_s': middle.wall,
        'cpu_s': middle.cpu,
        'turns': [list(turn) for turn in turns],
        'peak_memory': memory,
        'operations': step_operations(setup),
    }


def scaling_table(results: Mapping[str, Any]) -> str:
    """The results for people."""
    plan, parts = results['plan'], []
    for axis, found in results['axes'].items():
        if not found['points']:
            continue
        rows: list[tuple[Any, ...]] = [
            (
                point['label'],
                f'{point["size"]:,}',
                f'{1e3 * point["wall_s"]:.0f}',
                f'{1e3 * point["cpu_s"]:.0f}',
                f'{point["peak_memory"] / MIB:.0f}',
                f'{point["operations"] / 1e9:.1f}',
            )
            for point in found['points']
        ]
        fits = [found['slopes'][name] for name in QUANTITIES]
        rows.append(('exponent', None, *(None if one is None else f'{one:.2f}' for one in fits)))
        parts.append(table((AXES[axis], 'size', 'wall ms', 'CPU ms', 'peak MiB', 'GFLOPs'), rows))
    heading = f'{plan["model"]}, batch {plan["batch_size"]} and its own size where they do not vary.'
    return '\n\n'.join([heading, *parts])


def plot_scaling(results: Mapping[str, Any], path: str) -> None:
    """Draws time and memory against each axis, with the fitted lines.

    Args:
        results: Of :func:`measure_scaling`.
        path: A picture file, such as PNG.

    Raises:
        ValueError: If nothing was measured, or the ending is of no picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    shown = {axis: found for axis, found in results['axes'].items() if found['points']}
    if not shown:
        raise ValueError('nothing was measured that could be drawn; name sizes')
    figure = Figure(figsize=(4 * len(shown), 6), layout='constrained')
    canvas = FigureCanvasAgg(figure)
    if Path(path).suffix.lstrip('.').lower() not in canvas.get_supported_filetypes():
        raise ValueError(f'--plot {path!r} has no ending of a picture; use .png')
    for column, (axis, found) in enumerate(shown.items()):
        sizes = [point['size'] for point in found['points']]
        for row, (name, label, unit) in enumerate((('wall_s', 'step time (s)', 1), ('peak_memory', 'peak MiB', MIB))):
            values = [point[name] / unit for point in found['points']]
            axes = figure.add_subplot(2, len(shown), row * len(shown) + column + 1)
            axes.loglog(sizes, values, 'o', color='tab:blue')
            exponent = found['slopes'][name]
            if exponent is not None:
                level = sum(math.log(v) - exponent * math.log(s) for s, v in zip(sizes, values, strict=True)) / len(
                    sizes
                )
                ends = [min(sizes), max(sizes)]
                line = [math.exp(level) * end**exponent for end in ends]
                axes.loglog(ends, line, '-', color='tab:orange', label=f'exponent {exponent:.2f}')
                axes.legend()
            axes.set_xticks(sizes, [point['label'] for point in found['points']])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axes.yaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
            for one in (axes.xaxis, axes.yaxis):
                one.set_minor_locator(NullLocator())
            axes.set_xlabel(AXES[axis])
            axes.set_ylabel(label)
            axes.grid(True, alpha=0.3)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.suptitle(f'{results["plan"]["model"]}: cost of a step')
    figure.savefig(path, dpi=100)
