"""Each lever of the acceleration: alone, and on top of those before it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from simmim_mm.acceleration import LEVERS
from simmim_mm.benchmark.candidates import OwnCandidate, Setup
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.seats import Maker, seated
from simmim_mm.benchmark.step import measure_seats, spread
from simmim_mm.tables import table

# Levers that change the process, not the model: they would reach what they are measured against.
PROCESS_WIDE = ('allocator',)


def default_values(names: Iterable[str], device: str) -> dict[str, Any]:
    """Which levers are measured, and at which value.

    Args:
        names: Levers; none for all that a preset switches on for the device.
        device: Type of the device.

    Returns:
        Values by name, in the order in which levers are applied: that of ``exact``, of ``max``, or the first there is.

    Raises:
        ValueError: If a lever is unknown.
    """
    names = list(names)
    unknown = [name for name in names if name not in LEVERS]
    if unknown:
        raise ValueError(f'--levers {" ".join(unknown)}: unknown; there are {", ".join(LEVERS)}')
    values = {}
    for name, lever in LEVERS.items():
        preset = lever.presets.get('exact', lever.presets.get('max'))
        if name in names or (not names and preset is not None and device in lever.devices):
            values[name] = preset if preset is not None else (lever.values or (True,))[0]
    return values


def variants(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Levers one by one, then each with all before it.

    Args:
        values: Of the levers, in order.

    Returns:
        Arguments of :func:`~simmim_mm.acceleration.accelerate` by the name of the row.
    """
    rows = {name: {'preset': 'off', name: value} for name, value in values.items()}
    total: dict[str, Any] = {'preset': 'off'}
    for number, (name, value) in enumerate(values.items()):
        total = {**total, name: value}
        if number:
            rows[f'... + {name}'] = total
    return rows


def measure_levers(plan: Plan, names: Iterable[str] = (), rounds: int = 5, repeats: int = 1) -> dict[str, Any]:
    """Measures each variant against the model without levers: the two take turns.

    Where a lever is a setting of the whole process, each of the two has a process of its own.

    Args:
        plan: The settings; its acceleration does not count.
        names: See :func:`default_values`.
        rounds: See :func:`~simmim_mm.benchmark.step.measure_step`.
        repeats: See there.

    Returns:
        ``rows``, one a variant; and the plan.

    Raises:
        ValueError: If a setting is out of range.
    """
    if rounds < 1:
        raise ValueError(f'--rounds {rounds} must be a whole number from 1')
    plan = plan.replace(acceleration={'preset': 'off'})
    setup, rows = Setup(plan), []
    for name, settings in variants(default_values(names, plan.device)).items():
        makers: dict[str, Maker] = {
            'off': 'ours',
            name: functools.partial(OwnCandidate, name=name, acceleration=settings),
        }
        with seated(setup, makers, isolate=any(lever in settings for lever in PROCESS_WIDE)) as seats:
            report = seats[name].reports.get(list(settings)[-1], '')
            if report.startswith('does not apply') and not name.startswith('...'):
                rows.append({'name': name, 'settings': settings, 'report': report})
                continue
            off, on = measure_seats(setup, seats, rounds, repeats, base='off')['rows']
        rows.append({**on, 'settings': settings, 'report': report, 'off': off})
    return {'plan': plan.as_dict(), 'rows': rows}


def levers_table(results: Mapping[str, Any]) -> str:
    """The results for people; ratios are those of the variant to the model without levers."""
    plan = results['plan']
    head = ('lever', 'wall', 'CPU', 'memory', 'loss differs by', 'gradients: largest', 'as one vector')
    cells = []
    for row in results['rows']:
        if 'difference' not in row:
            cells.append((row['name'], *['does not apply'] * 3, None, None, None))
            continue
        apart = row['difference']
        cells.append(
            (
                row['name'],
                spread(row['wall_ratio']),
                spread(row['cpu_ratio']),
                f'{row["memory_ratio"]:.2f}x',
                f'{apart["loss"]:.1e}',
                f'{apart["gradient"]:.1e}',
                f'{apart["norm"]:.1e}',
            )
        )
    heading = f'{plan["model"]}, batch {plan["batch_size"]}; off is 1x, lower is better; quartiles in brackets.'
    return f'{heading}\n\n{table(head, cells)}'
