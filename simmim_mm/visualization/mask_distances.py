"""AvgDist of masking strategies, by simulation: how far hidden pixels are from visible ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from simmim_mm.masking import check_ratio, mean_distance_to_visible
from simmim_mm.progress import track
from simmim_mm.visualization.gallery import CONTENT, STRATEGIES, draw_mask, strategy

# Between these distances lie the settings of the best fine-tuned accuracy (SimMIM, section 4.1.2).
PUBLISHED_BEST = (10, 20)


class Distance(NamedTuple):
    """AvgDist of one strategy.

    Attributes:
        name: Of the strategy.
        cell: Side of its cells in pixels.
        ratios: Mask ratios that were asked for.
        means: Mean AvgDist of the masks at each ratio, in pixels.
    """

    name: str
    cell: int
    ratios: tuple[float, ...]
    means: tuple[float, ...]


def mean_distance(name: str, cell: int, ratio: float, samples: Sequence[dict], num_draws: int, seed: int = 0) -> float:
    """Mean AvgDist of random masks.

    Args:
        name: Of a strategy.
        cell: Side of a cell in pixels.
        ratio: Mask ratio.
        samples: Taken in turn; with ``img``, and with ``maps`` where the strategy needs one.
        num_draws: Number of masks.
        seed: Of the first mask; the others count on.

    Returns:
        In pixels. Infinite if one of the masks hides everything.
    """
    generator = strategy(name, cell, ratio)
    masks = (draw_mask(generator, samples[draw % len(samples)], seed + draw) for draw in range(num_draws))
    return float(np.mean([mean_distance_to_visible(mask, cell) for mask in masks]))


def simulate(
    image_hw: tuple[int, int],
    cells: Sequence[int],
    ratios: Sequence[float],
    num_draws: int,
    contents: Sequence[dict] = (),
    seed: int = 0,
) -> list[Distance]:
    """Simulates all strategies.

    Args:
        image_hw: (H, W) of the images.
        cells: Sides of cells in pixels, for each strategy that is not bound to single pixels.
        ratios: Mask ratios.
        num_draws: Masks for each mean.
        contents: Images with label maps, for the strategies that follow the content. Without any these are left out.
        seed: Of the masks.

    Returns:
        A row for each strategy and cell.

    Raises:
        ValueError: If a ratio is none, or cells do not divide the image.
    """
    ratios = tuple(check_ratio(ratio, 'ratio') for ratio in ratios)
    blank = [{'img': np.zeros((*image_hw, 3), dtype=np.uint8)}]
    rows: list[tuple[str, int]] = []
    for name in STRATEGIES:
        if contents or name not in CONTENT:
            rows.extend((name, cell) for cell in ((1,) if name == 'PixelMask' else cells))
    return [
        Distance(
            name,
            cell,
            ratios,
            tuple(
                mean_distance(name, cell, ratio, contents if name in CONTENT else blank, num_draws, seed)
                for ratio in ratios
            ),
        )
        for name, cell in track(rows, 'Drawing masks')
    ]


def markdown_table(distances: Iterable[Distance]) -> str:
    """The distances as a table in Markdown.

    Args:
        distances: All with the same ratios.

    Returns:
        A row a strategy and cell, a column a ratio.
    """
    distances = list(distances)
    lines = [
        '| strategy | cell | ' + ' | '.join(f'{ratio:g}' for ratio in distances[0].ratios) + ' |',
        '|---|---|' + '---|' * len(distances[0].ratios),
    ]
    for name, cell, _, means in distances:
        lines.append(f'| {name} | {cell} | ' + ' | '.join(f'{mean:.1f}' for mean in means) + ' |')
    return '\n'.join(lines)


def plot_distances(distances: Iterable[Distance], path: str) -> str:
    """Draws AvgDist against the mask ratio: random cells of each size, and each strategy at one size.

    Args:
        distances: See :func:`simulate`.
        path: File to write; its ending says the format. Folders are made.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure  # takes half a second, and needs no display this way

    distances = list(distances)
    cells = sorted({row.cell for row in distances if row.name == 'RandomPatchMask'})
    shown = 32 if 32 in cells else cells[-1]
    sides = (
        ('RandomPatchMask, cells of several sizes', [row for row in distances if row.name == 'RandomPatchMask']),
        (f'all strategies, cells of {shown} px', [row for row in distances if row.cell == shown or row.cell == 1]),
    )
    figure = Figure(figsize=(10, 4.2), layout='constrained')
    for number, (axes, (title, rows)) in enumerate(zip(figure.subplots(1, 2, sharey=True), sides, strict=True)):
        axes.axhspan(*PUBLISHED_BEST, color='0.88', zorder=0)
        if number == 0:
            axes.text(rows[0].ratios[0], 12.5, 'best in the paper', fontsize=8, color='0.35')
        for line, row in enumerate(rows):
            label = f'{row.cell} px' if number == 0 else row.name + (' (1 px)' if row.cell == 1 else '')
            axes.plot(row.ratios, row.means, label=label, marker='os^Dv<>ph'[line % 9], markersize=4)
        axes.set(title=title, xlabel='mask ratio', yscale='log', ylabel='AvgDist in pixels' if number == 0 else None)
        axes.set_yticks([1, 2, 5, 10, 20, 50], labels=['1', '2', '5', '10', '20', '50'])
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, ncols=1 + number, loc=(0.02, 0.1) if number else 'upper left')
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    figure.savefig(path, dpi=90)
    return path
