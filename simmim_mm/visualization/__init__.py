"""Pictures."""

from simmim_mm.visualization.panels import label_columns, reconstruction_panel, save_png, tile
from simmim_mm.visualization.samples import draw_reconstructions, fixed_batch, load_sample, picture_pipeline

__all__ = [
    'draw_reconstructions',
    'fixed_batch',
    'label_columns',
    'load_sample',
    'picture_pipeline',
    'reconstruction_panel',
    'save_png',
    'tile',
]
