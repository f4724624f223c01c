"""One training step against those of others: time, operations, memory, and whether it is the same step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simmim_mm.benchmark.allocations import MIB
from simmim_mm.benchmark.candidates import Setup
from simmim_mm.benchmark.comparison import difference
from simmim_mm.benchmark.operations import step_operations
from simmim_mm.benchmark.peak import matmul_peak
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.seats import Maker, Seat, seated
from simmim_mm.benchmark.timing import interleave, median, ratios
from simmim_mm.tables import table


def measure_step(
    plan: Plan, against: Sequence[str] = ('plain',), rounds: int = 5, repeats: int = 1, isolate: bool = False
) -> dict[str, Any]:
    """Measures steps of ours and of others, in turn.

    Args:
        plan: The settings.
        against: Names of peers.
        rounds: Turns of each that count; one more goes before them.
        repeats: Steps a turn, without waiting for the device between.
        isolate: See :func:`~simmim_mm.benchmark.seats.seated`.

    Returns:
        ``rows``, one a candidate, ours first; ``operations`` of a step; ``peaks`` of the machine by precision, in
        operations a second; and the plan.

    Raises:
        ValueError: If a setting is out of range, or a peer has no such model.
    """
    if rounds < 1:
        raise ValueError(f'--rounds {rounds} must be a whole number from 1')
    setup = Setup(plan)
    makers: dict[str, Maker] = {name: name for name in ('ours', *against)}
    with seated(setup, makers, isolate) as seats:
        return {'plan': plan.as_dict(), 'isolated': isolate, **measure_seats(setup, seats, rounds, repeats)}


def measure_seats(
    setup: Setup, seats: Mapping[str, Seat], rounds: int, repeats: int = 1, base: str = 'ours'
) -> dict[str, Any]:
    """Compares, times and weighs candidates.

    Args:
        setup: What all share.
        seats: The candidates, by name.
        rounds: See :func:`measure_step`.
        repeats: See there.
        base: The candidate that times and memory are ratios to, and whose loss and gradients are compared.

    Returns:
        ``rows``, ``operations`` and ``peaks``.
    """
    evaluations = {name: seat.evaluate() for name, seat in seats.items()}
    differences = {
        name: difference(evaluations[base], evaluation) for name, evaluation in evaluations.items() if name != base
    }
    losses = {name: loss for name, (loss, _) in evaluations.items()}
    del evaluations
    memory = {name: seat.peak_memory() for name, seat in seats.items()}
    plan = setup.plan
    peaks = {
        precision: matmul_peak(plan.device, precision) for precision in sorted({s.precision for s in seats.values()})
    }
    operations = step_operations(setup)
    turns = interleave({name: lambda seat=seat: seat.turn(repeats) for name, seat in seats.items()}, rounds)  # type: ignore
    relative = ratios(turns, base)
    rows = []
    for name, seat in seats.items():
        middle = median(turns[name])
        wall, cpu = relative[name]
        rows.append(
            {
                'name': name,
                'about': seat.about,
                'precision': seat.precision,
                'wall_s': middle.wall,
                'cpu_s': middle.cpu,
                'turns': [list(turn) for turn in turns[name]],
                'images_per_s': plan.batch_size / middle.wall,
                'wall_ratio': wall._asdict(),
                'cpu_ratio': cpu._asdict(),
                'operations_per_s': operations / middle.wall,
                'mfu': operations / middle.wall / peaks[seat.precision],
                'peak_memory': memory[name],
                'memory_ratio': memory[name] / memory[base],
                'loss': losses[name],
                'difference': differences[name]._asdict() if name in differences else None,
            }
        )
    return {'rows': rows, 'operations': operations, 'peaks': peaks}


def step_table(results: Mapping[str, Any]) -> str:
    """The results for people.

    Args:
        results: Of :func:`measure_step`.

    Returns:
        Two tables in Markdown, and what they are of.
    """
    plan, base = results['plan'], results['rows'][0]['name']
    head = ('step', 'wall ms', 'CPU ms', 'images/s', f'wall / {base}', f'CPU / {base}', 'GFLOP/s', 'MFU', 'peak MiB')
    rows = [
        (
            row['name'],
            f'{1e3 * row["wall_s"]:.0f}' if row['wall_s'] >= 0.1 else f'{1e3 * row["wall_s"]:.2f}',
            f'{1e3 * row["cpu_s"]:.0f}' if row['cpu_s'] >= 0.1 else f'{1e3 * row["cpu_s"]:.2f}',
            f'{row["images_per_s"]:.2f}',
            spread(row['wall_ratio']),
            spread(row['cpu_ratio']),
            f'{row["operations_per_s"] / 1e9:.1f}',
            f'{100 * row["mfu"]:.1f} %',
            f'{row["peak_memory"] / MIB:.0f}',
        )
        for row in results['rows']
    ]
    peaks = ', '.join(f'{value / 1e9:.0f} GFLOP/s in {name}' for name, value in results['peaks'].items())
    lines = [
        f'{plan["model"]}, batch {plan["batch_size"]}, {results["operations"] / 1e9:.1f} GFLOPs a step; matrix '
        f'products reach {peaks}. Medians of {len(results["rows"][0]["turns"])} rounds in turn; quartiles in brackets.',
        '',
        table(head, rows),
        '',
        *(f'- {row["name"]}: {row["about"]}' for row in results['rows']),
        '',
        difference_table(results['rows'], base),
    ]
    return '\n'.join(lines)


def difference_table(rows: Sequence[Mapping[str, Any]], base: str) -> str:
    """How far the step of ``base`` is from each other one."""
    head = (f'{base} and', 'loss', 'relative difference', 'gradients: largest', 'as one vector', 'largest in')
    cells = [
        (
            row['name'],
            f'{row["loss"]:.6f}',
            f'{row["difference"]["loss"]:.1e}',
            f'{row["difference"]["gradient"]:.1e}',
            f'{row["difference"]["norm"]:.1e}',
            row['difference']['worst'] or None,
        )
        for row in rows
        if row['difference'] is not None
    ]
    return table(head, cells)


def spread(ratio: Mapping[str, float], digits: int = 2) -> str:
    """A ratio with its quartiles."""
    middle, low, high = (f'{ratio[name]:.{digits}f}' for name in ('median', 'low', 'high'))
    return f'{middle}x [{low}, {high}]'
