"""Maps that belong to an image, label maps and score maps, and that are cropped and flipped with it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F


def resize_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a map: labels (whole numbers) to the nearest, scores (floating point) bilinearly with antialiasing.

    Args:
        values: (H, W). Its type says what it is.
        size: (height, width) of the result.

    Returns:
        (height, width), same type of labels, float32 scores.
    """
    if values.shape == size:
        return values
    if np.issubdtype(values.dtype, np.floating):
        tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None]
        return F.interpolate(tensor, size=size, mode='bilinear', antialias=True, align_corners=False)[0, 0].numpy()
    # The source position whose square holds the centre of the target's.
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(values.shape, size, strict=True))
    return values[rows[:, None], columns]


def crop_maps(results: dict, box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    """Crops and resizes all maps of a sample as its image was.

    Args:
        results: The sample, changed in place.
        box: (top, left, height, width) in pixels of the image.
        size: (height, width) of the result.
    """
    if 'maps' in results:
        top, left, height, width = box
        results['maps'] = {
            name: resize_map(values[top : top + height, left : left + width], size)
            for name, values in results['maps'].items()
        }


def flip_maps(results: dict) -> None:
    """Mirrors all maps of a sample left and right, in place."""
    if 'maps' in results:
        results['maps'] = {name: values[:, ::-1] for name, values in results['maps'].items()}


def map_of(results: dict, name: str, needed_by: str) -> np.ndarray:
    """A map of a sample, checked to fit its image.

    Args:
        results: The sample, with ``img`` (H, W, C) and ``maps``.
        name: Of the map.
        needed_by: Who asks, for the message.

    Returns:
        (H, W)

    Raises:
        ValueError: If the sample has no such map, or one of another shape.
    """
    maps = results.get('maps', {})
    if not isinstance(maps, Mapping) or name not in maps:
        found = ', '.join(map(repr, maps)) if isinstance(maps, Mapping) and maps else 'none'
        raise ValueError(
            f'{needed_by} needs the map {name!r} of {results.get("img_path", "the image")!r} (there: {found}); put '
            f"dict(type='LoadMap', key={name!r}, folder=...) behind LoadImage in the pipeline"
        )
    values = np.asarray(maps[name])
    if values.shape != results['img'].shape[:2]:
        raise ValueError(
            f'the map {name!r} of {results.get("img_path", "an image")!r} has the shape {values.shape}, but the image '
            f'is {results["img"].shape[:2]} (height, width) where {needed_by} sees it; crop with RandomResizedCrop or '
            "CenterCrop of simmim_mm, which crop maps too (other packages' do not)"
        )
    return values
