"""A fixed set of images with fixed masks, and what a model makes of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from simmim_mm.datasets.collate import stack_samples
from simmim_mm.datasets.image_files import find_images, folder_given_as
from simmim_mm.datasets.randomness import Moment, SampleIndex, sample_facts, seeded_globals
from simmim_mm.datasets.transforms import CenterCrop, RandomFlip, RandomResizedCrop, UnreadableImageError
from simmim_mm.datasets.transforms.checks import check_pipeline
from simmim_mm.datasets.transforms.masks import MaskGenerator
from simmim_mm.datasets.transforms.stored import ImageSettingError
from simmim_mm.masking import regrid
from simmim_mm.models import SimMIM
from simmim_mm.models.probe import evaluating
from simmim_mm.registry import TRANSFORMS
from simmim_mm.visualization.panels import HIDDEN_GREY, label_columns, reconstruction_panel, stretch, tile, to_rgb
from simmim_mm.visualization.target_maps import draw_target_maps


def picture_pipeline(transforms: Iterable[Callable]) -> list[Callable]:
    """A training pipeline without its augmentation: whole images, the same masks.

    Args:
        transforms: Built transforms.

    Returns:
        Built transforms: random crops have become central ones of the same size, random flips are gone.
    """
    replaced = [CenterCrop(step.size) if isinstance(step, RandomResizedCrop) else step for step in transforms]
    return [step for step in replaced if not isinstance(step, RandomFlip)]


def load_sample(sample: dict, transforms: Sequence[Callable], position: int, seed: int = 0) -> dict[str, Any]:
    """Loads one sample with a mask that depends on nothing but the seed and the position.

    Ratios that follow a schedule are those of the end of training.

    Args:
        sample: What a data set knows of it, such as ``{'img_path': ...}``.
        transforms: Built transforms, from loading to packing.
        position: Of the sample in the picture.
        seed: Of the mask.

    Returns:
        The packed sample.
    """
    index = SampleIndex(position, seed, epoch=0, moment=Moment(iteration=0, progress=1.0))
    results: dict = {**sample, **sample_facts(index)}
    with seeded_globals(int(results['rng'].integers(2**32))):
        for transform in transforms:
            results = transform(results)
    return results


def fixed_batch(
    sample_of: Callable[[int], dict], num_samples: int, transforms: Sequence[Callable], num: int, seed: int = 0
) -> dict[str, Any]:
    """Loads samples that are spread evenly over a set; in place of one that cannot be read, its successor.

    Args:
        sample_of: What a data set knows of the sample at a position, such as ``{'img_path': ...}``.
        num_samples: Size of the set.
        transforms: Built transforms, from loading to packing.
        num: How many to load; fewer where there are not as many.
        seed: Of the masks.

    Returns:
        A collated batch on the CPU: ``inputs`` (B, C, H, W) uint8 or float32, ``mask`` (B, h, w) bool, ``img_path``.

    Raises:
        ImageSettingError: If none of the samples can be read, the last one as the settings do not fit it.
        UnreadableImageError: If none of them can be read.
    """
    num = min(num, num_samples)
    packed = []
    failure: UnreadableImageError | ImageSettingError | None = None
    for row in range(num):
        for index in range(row * num_samples // num, (row + 1) * num_samples // num):
            try:
                packed.append(load_sample(sample_of(index), transforms, row, seed))
                break
            except (UnreadableImageError, ImageSettingError) as error:
                print_log(f'No picture of an unreadable image: {error}', logger='current', level=logging.WARNING)
                failure = error
    if not packed and failure is not None:
        raise failure
    return stack_samples(packed)


@torch.no_grad()
def draw_reconstructions(model: SimMIM, batch: dict[str, Any], bands: Sequence[int] | None = None) -> np.ndarray:
    """Draws what a model makes of a batch.

    Args:
        model: A SimMIM model (unwrapped).
        batch: See :func:`fixed_batch`.
        bands: Which to show, see :func:`~simmim_mm.visualization.panels.check_bands`.

    Returns:
        The panel of :func:`~simmim_mm.visualization.panels.reconstruction_panel`, with the normalisation undone; where
        the target cannot be turned into images, that of :func:`~simmim_mm.visualization.target_maps.target_panel`.
    """
    with evaluating(model):
        data = model.data_preprocessor(batch)
        if model.head is not None and not model.head.shows_images:
            return draw_target_maps(model, data, bands)
        images, hidden = model.reconstruct(data['inputs'], data['mask'])
    originals = model.data_preprocessor.denormalise(data['inputs'])
    predicted = model.data_preprocessor.denormalise(images)
    return reconstruction_panel(originals.cpu().numpy(), predicted.cpu().numpy(), hidden.cpu().numpy(), bands)


def draw_masks(
    sample_of: Callable[[int], dict],
    num_samples: int,
    transforms: Sequence[Callable],
    num: int,
    num_masks: int,
    seed: int = 0,
    bands: Sequence[int] | None = None,
) -> np.ndarray:
    """Draws what the masks of a pipeline look like.

    Args:
        sample_of: See :func:`fixed_batch`, for this and the next three.
        num_samples: Size of the set.
        transforms: Built transforms, from loading to packing.
        num: How many samples to draw.
        num_masks: Masks a sample.
        seed: Of the masks.
        bands: Which to show, see :func:`~simmim_mm.visualization.panels.check_bands`.

    Returns:
        (height, width, 3) uint8: a row an image, the whole image first, then with each mask; over a mask's column
        stands the share of the pixels that it hides, as a mean over the images.
    """
    columns = [fixed_batch(sample_of, num_samples, transforms, num, seed + column) for column in range(num_masks)]

    def shown_images(batch: dict[str, Any]) -> np.ndarray:
        images = batch['inputs'].numpy()
        return to_rgb(stretch(images, images, bands), bands)

    images = shown_images(columns[0])
    pictures, labels = [images], ['original']
    for batch in columns:
        shown = shown_images(batch)  # with random crops, another one for each mask
        hidden = regrid(batch['mask'], shown.shape[1:3]).numpy()
        pictures.append(np.where(hidden[..., None], np.uint8(HIDDEN_GREY), shown))
        labels.append(f'{100 * hidden.mean():.0f} % hidden')
    return label_columns(tile(np.stack(pictures, axis=1)), labels)


def config_pipeline(cfg: Config, augment: bool = False) -> list[Callable]:
    """The training pipeline of a config, for pictures.

    Args:
        cfg: A pre-training config.
        augment: Whether to keep random crops and flips.

    Returns:
        Built transforms, from loading to packing, checked to fit each other.

    Raises:
        ValueError: If the pipeline draws no masks, or masks that do not fit the crop.
    """
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    dataset = cfg.train_dataloader.dataset
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    built = [TRANSFORMS.build(transform) for transform in dataset.get('pipeline', ())]
    check_pipeline(built)
    if not any(isinstance(transform, MaskGenerator) for transform in built):
        raise ValueError(
            f'the training pipeline of {cfg.filename} draws no masks; name a pre-training config, or put '
            "dict(type='RandomPatchMask') into the pipeline"
        )
    return built if augment else picture_pipeline(built)


def image_samples(paths: Sequence[str]) -> list[dict]:
    """Image files, and those in folders, as samples.

    Args:
        paths: Files and folders.

    Returns:
        ``{'img_path': ...}`` each.

    Raises:
        FileNotFoundError: If one does not exist.
    """
    files = []
    for path in paths:
        if os.path.isfile(path):
            files.append(path)
        elif os.path.isdir(path):
            with folder_given_as(path, 'IMAGE', '', 'name image files, or a folder that holds some at any depth'):
                files.extend(find_images(path))
        else:
            raise FileNotFoundError(f'image {path!r} does not exist (seen from {os.getcwd()})')
    return [{'img_path': path} for path in files]
