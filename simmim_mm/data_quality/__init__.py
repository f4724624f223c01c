"""Looking at a folder of images before training on it."""

from simmim_mm.data_quality.findings import OPTIONAL, Thresholds
from simmim_mm.data_quality.inspection import inspect_images, source_of
from simmim_mm.data_quality.report import split_clean, summary, write_results
from simmim_mm.data_quality.results_folder import make_folder
from simmim_mm.data_quality.split import SplitRule

__all__ = [
    'OPTIONAL',
    'SplitRule',
    'Thresholds',
    'inspect_images',
    'make_folder',
    'source_of',
    'split_clean',
    'summary',
    'write_results',
]
