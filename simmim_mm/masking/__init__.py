"""The pure maths of masks: no OpenMMLab imports, no state."""

from simmim_mm.masking.grid import (
    Cells,
    blank,
    coarsen,
    expand,
    gather_cells,
    hidden_cells,
    hidden_share,
    hidden_weight,
    regrid,
)
from simmim_mm.masking.sampling import check_ratio, num_hidden_cells, random_cells

__all__ = [
    'Cells',
    'blank',
    'check_ratio',
    'coarsen',
    'expand',
    'gather_cells',
    'hidden_cells',
    'hidden_share',
    'hidden_weight',
    'num_hidden_cells',
    'random_cells',
    'regrid',
]
