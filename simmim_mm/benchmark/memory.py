"""Peak memory of a training step against those of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simmim_mm.benchmark.allocations import MIB, SOURCES
from simmim_mm.benchmark.candidates import Setup
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.seats import Maker, seated
from simmim_mm.tables import table


def measure_memory(plan: Plan, against: Sequence[str] = ('mmpretrain',)) -> dict[str, Any]:
    """Weighs one step of ours and of others.

    Args:
        plan: The settings.
        against: Names of peers.

    Returns:
        ``rows``, one a candidate, ours first, with ``peak_memory`` in bytes and ``memory_ratio``, ours over theirs; and
        the plan.

    Raises:
        ValueError: If a setting is out of range, or a peer has no such model.
    """
    setup = Setup(plan)
    makers: dict[str, Maker] = {name: name for name in ('ours', *against)}
    with seated(setup, makers, isolate=False) as seats:
        peaks = {name: seat.peak_memory() for name, seat in seats.items()}
        rows = [
            {
                'name': name,
                'about': seat.about,
                'precision': seat.precision,
                'peak_memory': peaks[name],
                'memory_ratio': peaks['ours'] / peaks[name],
            }
            for name, seat in seats.items()
        ]
    return {'plan': plan.as_dict(), 'source': SOURCES[plan.device], 'rows': rows}


def memory_table(results: Mapping[str, Any]) -> str:
    """The results for people."""
    plan = results['plan']
    rows = [
        (row['name'], f'{row["peak_memory"] / MIB:.0f}', f'{row["memory_ratio"]:.2f}x', row['about'])
        for row in results['rows']
    ]
    heading = f'{plan["model"]}, batch {plan["batch_size"]}; {results["source"]}.'
    return f'{heading}\n\n{table(("step", "peak MiB", "ours / this", "settings"), rows)}'
