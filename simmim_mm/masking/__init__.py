"""The pure maths of masks: no OpenMMLab imports, no state."""

from simmim_mm.masking.distance import mean_distance_to_visible
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
    visible_positions,
)
from simmim_mm.masking.labels import labels_of_cells
from simmim_mm.masking.saliency import cell_means, cells_by_score, spectral_residual, standardise
from simmim_mm.masking.sampling import check_ratio, num_hidden_cells, random_cells, random_masks

__all__ = [
    'Cells',
    'blank',
    'cell_means',
    'cells_by_score',
    'check_ratio',
    'coarsen',
    'expand',
    'gather_cells',
    'hidden_cells',
    'hidden_share',
    'hidden_weight',
    'labels_of_cells',
    'mean_distance_to_visible',
    'num_hidden_cells',
    'random_cells',
    'random_masks',
    'regrid',
    'spectral_residual',
    'standardise',
    'visible_positions',
]
