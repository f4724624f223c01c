"""Which curves stand in which chart."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from simmim_mm.report.scalars import Curves, Series

# Title and unit of known keys, in the order of the page. All others follow.
TITLES = {
    'loss': ('Loss', ''),
    'grad_norm': ('Norm of the gradients', ''),
    'lr': ('Learning rate', ''),
    'images_per_s': ('Throughput', 'images/s'),
    'data_wait': ('Waiting for data', 'share of the time'),
    'time': ('Time of an iteration', 's'),
    'memory': ('GPU memory, highest', 'MiB'),
    'host_memory': ('Memory of the first process', 'MiB'),
    'mask_ratio': ('Mask ratio', ''),
    'image_height': ('Image height', 'pixels'),
}


# Of these, little changes would look like large ones.
FROM_ZERO = ('images_per_s', 'data_wait', 'time', 'memory', 'host_memory')


class Chart(NamedTuple):
    """A chart of the page.

    Attributes:
        title: For people.
        unit: Of the values; may be empty.
        lines: Name and series of each line.
        from_zero: Whether zero is to be seen.
    """

    title: str
    unit: str
    lines: list[tuple[str, Series]]
    from_zero: bool = False


def arrange(curves: Curves) -> list[Chart]:
    """Sorts curves into charts: validations of one unit together, everything else by itself.

    The unit of a key of a validation is what stands behind its last underscore: ``hidden_l1`` and ``local_mean_l1``
    are to be compared.
    """
    series = dict(curves.series)
    if 'data_wait' not in series and 'time' in series and 'data_time' in series:  # a run without ThroughputHook
        series['data_wait'] = _share(series['data_time'], series['time'])
    series.pop('data_time', None)
    if series.get('base_lr') and 'lr' in series and series['base_lr'].values == series['lr'].values:
        del series['base_lr']
    together: dict[str, list[str]] = {}
    for key in series:
        if key.startswith('val/') and key not in ('val/time', 'val/data_time'):
            together.setdefault(re.sub(r'.*[_/]', '', key), []).append(key)
    validations = [
        Chart(
            f'Validation: {unit}' if len(keys) > 1 else f'Validation: {keys[0][4:]}',
            '',
            [(k[4:], series[k]) for k in keys],
        )
        for unit, keys in together.items()
    ]
    trained = [key for key in [*TITLES, *series] if key in series and not key.startswith('val/')]
    plain = [
        Chart(*TITLES.get(key, (key, '')), [(key, series[key])], key in FROM_ZERO) for key in dict.fromkeys(trained)
    ]
    return [*plain[:1], *validations, *plain[1:]]


def _share(part: Series, whole: Series) -> Series:
    found = Series()
    steps, index, other = np.intersect1d(part.steps, whole.steps, assume_unique=True, return_indices=True)
    with np.errstate(all='ignore'):
        values = np.asarray(part.values)[index] / np.asarray(whole.values)[other]
    found.steps.extend(steps.tolist())
    found.values.extend(values.tolist())
    return found
