"""Targets: what the model is to predict."""

from simmim_mm.models.targets.base import Target
from simmim_mm.models.targets.colour_bins import ColorBinTarget
from simmim_mm.models.targets.colour_clusters import ColorClusterTarget
from simmim_mm.models.targets.feature import FeatureTarget
from simmim_mm.models.targets.hog import HOGTarget
from simmim_mm.models.targets.pixel import PixelTarget
from simmim_mm.models.targets.tokens import TokenTarget

__all__ = ['ColorBinTarget', 'ColorClusterTarget', 'FeatureTarget', 'HOGTarget', 'PixelTarget', 'Target', 'TokenTarget']
