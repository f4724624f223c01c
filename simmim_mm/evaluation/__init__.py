"""How good reconstructions and features are."""

from simmim_mm.evaluation.fillers import local_mean, mean_colour
from simmim_mm.evaluation.masked_reconstruction import MaskedReconstructionMetric

__all__ = ['MaskedReconstructionMetric', 'local_mean', 'mean_colour']
