"""How good reconstructions and features are."""

from simmim_mm.evaluation.fillers import local_mean, mean_colour
from simmim_mm.evaluation.image_quality import psnr, ssim
from simmim_mm.evaluation.linear_probe import LinearProbe, fit_linear_probe
from simmim_mm.evaluation.masked_reconstruction import MaskedReconstructionMetric
from simmim_mm.evaluation.nearest_neighbours import knn_classify
from simmim_mm.evaluation.spread import feature_std, rankme

__all__ = [
    'LinearProbe',
    'MaskedReconstructionMetric',
    'feature_std',
    'fit_linear_probe',
    'knn_classify',
    'local_mean',
    'mean_colour',
    'psnr',
    'rankme',
    'ssim',
]
