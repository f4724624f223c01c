"""A fixed set of images with fixed masks, and what a model makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import default_collate
from torch import nn

from simmim_mm.datasets.randomness import SampleIndex, sample_rng, seeded_globals
from simmim_mm.datasets.transforms import CenterCrop, RandomFlip, RandomResizedCrop, UnreadableImageError
from simmim_mm.models.probe import evaluating
from simmim_mm.registry import TRANSFORMS
from simmim_mm.visualization.panels import reconstruction_panel


def picture_pipeline(transforms: Iterable[dict | Callable]) -> list[Callable]:
    """A training pipeline without its augmentation: whole images, the same masks.

    Args:
        transforms: Configs or built transforms.

    Returns:
        Built transforms: random crops have become central ones of the same size, random flips are gone.
    """
    built = [TRANSFORMS.build(transform) if isinstance(transform, dict) else transform for transform in transforms]
    replaced = [CenterCrop(step.size) if isinstance(step, RandomResizedCrop) else step for step in built]
    return [step for step in replaced if not isinstance(step, RandomFlip)]


def load_sample(sample: dict, transforms: Sequence[Callable], position: int, seed: int = 0) -> dict[str, Any]:
    """Loads one sample with a mask that depends on nothing but the seed and the position.

    Args:
        sample: What a data set knows of it, such as ``{'img_path': ...}``.
        transforms: Built transforms, from loading to packing.
        position: Of the sample in the picture.
        seed: Of the mask.

    Returns:
        The packed sample.
    """
    rng = sample_rng(SampleIndex(position, seed, epoch=0))
    results: dict = {**sample, 'rng': rng}
    with seeded_globals(rng):
        for transform in transforms:
            results = transform(results)
    return results


def fixed_batch(samples: Sequence[dict], transforms: Sequence[Callable], num: int, seed: int = 0) -> dict[str, Any]:
    """Loads samples that are spread evenly over a set; in place of an unreadable one its successor.

    Args:
        samples: What a data set knows of its samples.
        transforms: Built transforms, from loading to packing.
        num: How many to load; fewer where there are not as many.
        seed: Of the masks.

    Returns:
        A collated batch on the CPU: ``inputs`` (B, C, H, W) uint8, ``mask`` (B, h, w) bool, ``img_path``.

    Raises:
        UnreadableImageError: If none of the samples can be read.
    """
    num = min(num, len(samples))
    packed = []
    failure: UnreadableImageError | None = None
    for row in range(num):
        for index in range(row * len(samples) // num, (row + 1) * len(samples) // num):
            try:
                packed.append(load_sample(samples[index], transforms, row, seed))
                break
            except UnreadableImageError as error:
                failure = error
    if not packed and failure is not None:
        raise failure
    return default_collate(packed)


@torch.no_grad()
def draw_reconstructions(model: nn.Module, batch: dict[str, Any]) -> np.ndarray:
    """Draws what a model makes of a batch.

    Args:
        model: A SimMIM model (unwrapped).
        batch: See :func:`fixed_batch`.

    Returns:
        The panel of :func:`~simmim_mm.visualization.panels.reconstruction_panel`, with the normalisation undone.
    """
    with evaluating(model):
        data = model.data_preprocessor(batch)
        images, hidden = model.reconstruct(data['inputs'], data['mask'])
    originals = model.data_preprocessor.denormalise(data['inputs'])
    predicted = model.data_preprocessor.denormalise(images)
    return reconstruction_panel(originals.cpu().numpy(), predicted.cpu().numpy(), hidden.cpu().numpy())
