"""What it saves to decode files no larger than the crop needs, and what it costs in pixels; and not to decode them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from simmim_mm.benchmark.loader import PIXELS_A_TURN, one_thread, pixel_difference, rates
from simmim_mm.benchmark.photographs import write_jpegs
from simmim_mm.benchmark.pipelines import own_pipeline
from simmim_mm.benchmark.step import spread
from simmim_mm.tables import table

SIZES = ((500, 375), (1000, 750), (2000, 1500), (4000, 3000))


def measure_decode(
    sizes: Sequence[tuple[int, int]] = SIZES, rounds: int = 5, pixels: int = PIXELS_A_TURN
) -> dict[str, Any]:
    """Measures our pipeline with files decoded as large as needed, decoded whole, and left to a device.

    What the device then takes for them is not measured here.

    Args:
        sizes: (width, height) of the files.
        rounds: Turns of each that count.
        pixels: Of all images of a turn.

    Returns:
        ``rows``, one a size.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for size in sizes:
            place = f'{folder}/{size[0]}'
            write_jpegs(place, size, 6)
            count = max(2, pixels // (size[0] * size[1]))
            ways = {
                'as needed': own_pipeline(place),
                'whole': own_pipeline(place, fast=False),
                'left': own_pipeline(place, decode='device'),
            }
            needed, whole, left = rates(ways, count, rounds)
            rows.append(
                {
                    'size': list(size),
                    'as_needed': needed,
                    'whole': whole,
                    'left': left,
                    'pixel_difference': pixel_difference(place, min(count, 12)),
                }
            )
    return {'rows': rows}


def decode_table(results: Mapping[str, Any]) -> str:
    """The results for people."""
    rows = [
        (
            f'{row["size"][0]}x{row["size"][1]}',
            f'{row["whole"]["images_per_s"]:.1f}',
            f'{row["as_needed"]["images_per_s"]:.1f}',
            spread(row['whole']['wall_ratio']),
            spread(row['whole']['cpu_ratio']),
            f'{row["pixel_difference"]:.2f}',
            f'{row["left"]["images_per_s"]:.1f}',
            spread(row['left']['cpu_ratio']),
        )
        for row in results['rows']
    ]
    head = (
        *('JPEG', 'images/s, whole', 'as needed', 'wall, whole / as needed', 'CPU', 'off by, of 255'),
        *('images/s, left to the device', 'CPU, left / as needed'),
    )
    return f'Our pipeline in one process with one thread, crops of 192 px.\n\n{table(head, rows)}'
