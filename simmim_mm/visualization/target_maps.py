"""Pictures of targets that are no images, such as gradients or features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simmim_mm.masking import regrid
from simmim_mm.models import SimMIM
from simmim_mm.visualization.panels import HIDDEN_GREY, label_columns, stretch, tile, to_rgb

COLUMNS = ('original', 'masked', 'target', 'prediction')


@torch.no_grad()
def draw_target_maps(model: SimMIM, data: dict[str, Any], bands: Sequence[int] | None = None) -> np.ndarray:
    """Draws the target of images and what a model predicts of it.

    Args:
        model: A SimMIM model whose target has ``to_pictures``.
        data: ``inputs`` (B, C, H, W), normalised, and ``mask`` (B, h, w) bool, on the model's device.
        bands: Which to show of the images, see :func:`~simmim_mm.visualization.panels.check_bands`.

    Returns:
        The panel of :func:`target_panel`.

    Raises:
        ValueError: If the target cannot be drawn.
    """
    images, target = data['inputs'], model.head.target
    if not hasattr(target, 'to_pictures'):
        raise ValueError(
            f'{type(target).__name__} has neither to_images(estimate, images) nor to_pictures(maps, images), so '
            'nothing can be drawn; add one, or delete ReconstructionHook from custom_hooks'
        )
    prediction, hidden = model.predict_map(images, data['mask'])
    pictures = [target.to_pictures(maps, images) for maps in (target(images), model.head.estimate(prediction))]
    pixels = model.data_preprocessor.denormalise(images).cpu().numpy()
    originals = to_rgb(stretch(pixels, pixels, bands), bands)
    return target_panel(originals, regrid(hidden, originals.shape[1:3]).cpu().numpy(), *map(_to_8_bit, pictures))


def target_panel(originals: np.ndarray, hidden: np.ndarray, targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """A row an image: original, masked, the picture of its target, and that of the prediction.

    Args:
        originals: (B, H, W, 3) uint8, RGB.
        hidden: (B, H, W) bool.
        targets: (B, H, W, 3) uint8.
        predictions: (B, H, W, 3) uint8, of the whole image; what was visible is predicted too.

    Returns:
        (height, width, 3) uint8, with the columns' names on top.
    """
    masked = np.where(hidden[..., None], np.uint8(HIDDEN_GREY), originals)
    return label_columns(tile(np.stack([originals, masked, targets, predictions], axis=1)), COLUMNS)


def _to_8_bit(pictures: Tensor) -> np.ndarray:
    """(B, 3, H, W) from 0 to 1 as (B, H, W, 3) uint8."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
