"""Settings of the validation that would fail after the first epoch, found before training."""

from __future__ import annotations

from typing import Any

from mmengine.runner import ValLoop

from simmim_mm.datasets.transforms import CenterCrop, MaskGenerator, RandomResizedCrop
from simmim_mm.datasets.transforms.checks import alternatives, crop_sizes
from simmim_mm.datasets.transforms.masks.ratio_schedules import RatioSchedule
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.models import SimMIM


def check_validation(loop: Any, model: Any) -> None:
    """Checks the validation of a SimMIM model; other models and loops of one's own may do anything.

    Args:
        loop: The Runner's validation loop; None for none.
        model: The model, without wrapper.

    Raises:
        ValueError: If the model makes no reconstructions, or a transform of the pipeline does not fit validation or the
            model.
    """
    if type(loop) is not ValLoop or not isinstance(model, SimMIM):
        return
    if model.head is None:
        raise ValueError(
            'validation asks for reconstructions, of which a model with companion.alone=True makes none; set '
            'val_dataloader, val_cfg and val_evaluator to None, or add --no-validate'
        )
    for dataset in base_datasets(loop.dataloader.dataset):
        for steps in alternatives(getattr(dataset.pipeline, 'transforms', [])):
            _check_steps(steps, model)


def _check_steps(steps: list, model: SimMIM) -> None:
    sizes: list[tuple[int, int]] = []
    for step in steps:
        if isinstance(step, RandomResizedCrop | CenterCrop):
            if getattr(step, 'sizes', None) is not None:
                raise ValueError(
                    f'sizes={step.sizes} of {type(step).__name__} in val_dataloader change from batch to batch of '
                    'training, of which validation knows nothing; delete sizes there, or use CenterCrop'
                )
            sizes = crop_sizes(step)
        elif isinstance(step, MaskGenerator):
            _check_mask(step, model)
    for image_hw in sizes:
        try:
            model.grid_of(image_hw)
        except ValueError as error:
            size = f'{image_hw[0]}x{image_hw[1]}'
            raise ValueError(f'images of {size}, the crop of val_dataloader, do not fit the model: {error}') from error


def _check_mask(step: MaskGenerator, model: SimMIM) -> None:
    name = type(step).__name__
    if isinstance(step.mask_ratio, RatioSchedule):
        raise ValueError(
            f'mask_ratio of {name} in val_dataloader follows the progress of training, so that results could not be '
            'compared; give a number there, such as mask_ratio=0.6'
        )
    if step.key == 'other_mask' and model.companion is None:
        raise ValueError(
            f"{name}(key='other_mask') in val_dataloader draws a second mask, of which a model without companion makes "
            'nothing; delete it there'
        )
