"""Pictures."""

from simmim_mm.visualization.panels import label_columns, reconstruction_panel, save_png, tile
from simmim_mm.visualization.samples import (
    config_pipeline,
    draw_masks,
    draw_reconstructions,
    fixed_batch,
    image_samples,
    load_sample,
    picture_pipeline,
)

__all__ = [
    'config_pipeline',
    'draw_masks',
    'draw_reconstructions',
    'fixed_batch',
    'image_samples',
    'label_columns',
    'load_sample',
    'picture_pipeline',
    'reconstruction_panel',
    'save_png',
    'tile',
]
