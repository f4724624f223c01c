"""The end of a demo run, in a few lines."""

from __future__ import annotations

import json
from pathlib import Path


def held_out_report(work_dir: str) -> str:
    """What the newest run in a work dir reached on held-out photographs.

    Args:
        work_dir: Of a run with :class:`~simmim_mm.evaluation.MaskedReconstructionMetric`.

    Returns:
        A table of hidden-pixel errors, and the path of the last picture.

    Raises:
        FileNotFoundError: If there is no run, or none that validated.
    """
    records = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for line in records[-1].read_text().splitlines()] if records else []
    values = next((row for row in reversed(rows) if 'val/hidden_l1' in row), None)
    if values is None:
        raise FileNotFoundError(f'no validated run stands in {work_dir!r}; run the demo without --no-validate')
    model, colour, local = (values[f'val/{name}_l1'] for name in ('hidden', 'mean_colour', 'local_mean'))
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
