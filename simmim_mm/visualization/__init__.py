"""Pictures."""

from simmim_mm.visualization.gallery import draw_gallery, load_contents
from simmim_mm.visualization.mask_distances import markdown_table, plot_distances, simulate
from simmim_mm.visualization.mlflow_backend import MLflowVisBackend
from simmim_mm.visualization.panels import (
    check_bands,
    label_columns,
    label_rows,
    png_name,
    reconstruction_panel,
    save_png,
    tile,
)
from simmim_mm.visualization.regions import colour_regions
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
    'MLflowVisBackend',
    'check_bands',
    'colour_regions',
    'config_pipeline',
    'draw_gallery',
    'draw_masks',
    'draw_reconstructions',
    'fixed_batch',
    'image_samples',
    'label_columns',
    'label_rows',
    'load_contents',
    'load_sample',
    'markdown_table',
    'picture_pipeline',
    'plot_distances',
    'png_name',
    'reconstruction_panel',
    'save_png',
    'simulate',
    'tile',
]
