"""The end of a demo run, in a few lines."""

from __future__ import annotations

from pathlib import Path

from simmim_mm.report.scalars import read_curves
from simmim_mm.report.starts import find_starts


def held_out_report(work_dir: str) -> str:
    """What the newest run in a work dir reached on held-out photographs.

    Args:
        work_dir: Of a run with :class:`~simmim_mm.evaluation.MaskedReconstructionMetric`.

    Returns:
        A table of hidden-pixel errors, and the path of the last picture.

    Raises:
        FileNotFoundError: If there is no run, or none that validated.
    """
    series = read_curves(find_starts(work_dir)).series
    if 'val/hidden_l1' not in series:
        raise FileNotFoundError(f'no validated run stands in {work_dir!r}; run the demo without --no-validate')
    model, colour, local = (series[f'val/{name}_l1'].values[-1] for name in ('hidden', 'mean_colour', 'local_mean'))
    gain = 100 * (1 - model / colour)
    side = 'below' if gain >= 0 else 'above'
    pictures = sorted((Path(work_dir) / 'reconstructions').glob('iter_*.png'), key=lambda path: path.stat().st_mtime)
    return '\n'.join(
        [
            'Held-out photographs, mean absolute error on hidden pixels (in standard deviations of the pixels):',
            f'  the model                                {model:.3f}  ({abs(gain):.0f} % {side} the mean colour)',
            f'  mean colour of the visible pixels        {colour:.3f}',
            f'  local mean of the visible neighbours     {local:.3f}',
            f'Picture: {pictures[-1]}' if pictures else 'Picture: none was drawn',
        ]
    )
