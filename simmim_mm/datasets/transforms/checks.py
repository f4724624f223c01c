"""What can be known of a pipeline before the first image is read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

from mmcv.transforms import RandomChoice

from simmim_mm.datasets.transforms.geometry import CenterCrop, RandomFlip, RandomResizedCrop
from simmim_mm.datasets.transforms.load_map import LoadMap
from simmim_mm.datasets.transforms.masks import MaskGenerator

# What changes the geometry of images, by the words in its name.
GEOMETRIC = re.compile(
    'Crop|Flip|Resiz|Rescale|Rotate|Rotation|Shear|Translate|Affine|Perspective|Warp|Pad|Mosaic|MixUp|CutMix|Transpose|Augment|Albu'
)
# What is known to leave it alone: transforms of mmcv, mmpretrain, mmseg and mmdet that change colours.
COLOURS = {
    'AdjustGamma', 'AutoContrast', 'Brightness', 'CLAHE', 'ColorJitter', 'ColorTransform', 'Contrast', 'Equalize',
    'GaussianBlur', 'Invert', 'Lighting', 'Normalize', 'NumpyToPIL', 'PILToNumpy', 'PhotoMetricDistortion', 'Posterize',
    'RGB2Gray', 'RandomErasing', 'RandomGrayscale', 'Sharpness', 'Solarize', 'SolarizeAdd',
}  # fmt: skip


def check_pipeline(transforms: Iterable) -> None:
    """Checks the order of a pipeline, and that the cells of each mask generator fit the crop before it.

    A transform of another package counts as one that leaves maps behind, unless it is known to change colours alone,
    or has an attribute ``follows_maps`` that is true.

    Args:
        transforms: Built transforms, in order.

    Raises:
        ValueError: If the cells do not divide the crop; if a map is read too late, or left behind by a transform of
            another package before a mask follows it; if an image is cropped or flipped after its mask is drawn; or if
            two steps make the mask, or the map, of one name.
    """
    for steps in alternatives(transforms):
        _check_sizes(steps)
        _check_names(steps)
        _check_masks_come_last(steps)
        _check_maps(steps)


def alternatives(transforms: Iterable) -> list[list]:
    """All that a pipeline may do: lists of its steps, without the transforms that only hold others.

    Args:
        transforms: Built transforms, in order.
    """
    options: list[list[list]] = []
    for step in transforms:
        inner = getattr(step, 'transforms', None)
        if isinstance(step, RandomChoice):
            options.append([way for branch in step.transforms for way in alternatives(branch)])
        elif isinstance(inner, Iterable) and not isinstance(step, MaskGenerator):
            options.append(alternatives(inner))
        else:
            options.append([[step]])
    return [list(itertools.chain(*ways)) for ways in itertools.product(*options)]


def _check_sizes(steps: list) -> None:
    sizes: list[tuple[int, int]] = []
    for step in steps:
        if isinstance(step, RandomResizedCrop | CenterCrop):
            sizes = crop_sizes(step)
        elif isinstance(step, MaskGenerator):
            for image_hw in sizes:
                step.grid_of(image_hw)


def crop_sizes(crop: RandomResizedCrop | CenterCrop) -> list[tuple[int, int]]:
    """All sizes that images may have after a crop, as (height, width)."""
    return [crop.size, *(getattr(crop, 'sizes', None) or [])]


def _check_names(steps: list) -> None:
    seen: dict[tuple[type, str], Any] = {}
    for step in steps:
        kind = next((kind for kind in (MaskGenerator, LoadMap) if isinstance(step, kind)), None)
        if kind is None:
            continue
        if (kind, step.key) in seen:
            first, second = type(seen[kind, step.key]).__name__, type(step).__name__
            advice = "; a second view's mask has key='other_mask'" if kind is MaskGenerator else ''
            raise ValueError(
                f'{first} and {second} of the pipeline both have key={step.key!r}, and the second would replace what '
                f'the first made; delete one, or give it another key{advice}'
            )
        seen[kind, step.key] = step


def _check_masks_come_last(steps: list) -> None:
    drawn = None
    for step in steps:
        if isinstance(step, MaskGenerator):
            drawn = step
        elif drawn is not None and _changes_geometry(step):
            raise ValueError(
                f'{_name(step)} follows {_name(drawn)} in the pipeline, and would crop or flip the image and not its '
                f'mask; put {_name(step)} before {_name(drawn)}'
            )


def _check_maps(steps: list) -> None:
    moved = loaded = left_behind = None
    for step in steps:
        if isinstance(step, LoadMap):
            if moved is not None:
                raise ValueError(
                    f'LoadMap(key={step.key!r}) follows {_name(moved)} in the pipeline, so that the map would be of '
                    'the whole image and not of what is left of it; put it directly behind LoadImage'
                )
            loaded = step
        elif loaded is not None and left_behind is not None and getattr(step, 'needs_map', None) is not None:
            raise ValueError(
                f'{_name(step)} needs a map, and maps do not follow {_name(left_behind, full=True)}, which stands '
                f'between it and LoadMap; use RandomResizedCrop, CenterCrop or RandomFlip of simmim_mm, or set '
                f'follows_maps = True in {_name(left_behind)} if it leaves geometry alone or treats '
                "results['maps'] as it treats the image"
            )
        if moved is None and _changes_geometry(step):
            moved = step
        if loaded is not None and left_behind is None and not _maps_follow(step):
            left_behind = step


def _changes_geometry(step: Any) -> bool:
    if isinstance(step, RandomResizedCrop | CenterCrop | RandomFlip):
        return True
    name = _name(step)
    return not (_is_ours(step) or name in COLOURS or name.startswith('Load')) and GEOMETRIC.search(name) is not None


def _maps_follow(step: Any) -> bool:
    return _is_ours(step) or bool(getattr(step, 'follows_maps', False)) or _name(step) in COLOURS


def _is_ours(step: Any) -> bool:
    return any(kind.__module__.split('.')[0] == 'simmim_mm' for kind in type(step).__mro__)


def _name(step: Any, full: bool = False) -> str:
    kind = type(step) if not hasattr(step, '__qualname__') else step  # a function is a transform too
    name = getattr(kind, '__name__', type(step).__name__)
    return f'{kind.__module__.split(".")[0]}.{name}' if full else name
