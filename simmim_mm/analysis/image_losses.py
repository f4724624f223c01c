"""Which images a model finds hard."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from mmengine.logging import print_log

from simmim_mm.datasets.collate import stack_samples
from simmim_mm.datasets.file_names import name_number
from simmim_mm.datasets.transforms import UnreadableImageError
from simmim_mm.models import SimMIM
from simmim_mm.models.probe import evaluating
from simmim_mm.progress import track
from simmim_mm.visualization.samples import image_samples, load_sample


class NamedImage(NamedTuple):
    """An image file and the name from which its masks follow.

    Attributes:
        path: The file.
        name: Its path inside the folder that was named, or its own name, if the file was named.
    """

    path: str
    name: str

    @property
    def position(self) -> int:
        """A number that follows from the name alone, so that other files do not change a file's masks."""
        return name_number(self.name) >> 8  # below 2 ** 63


class ImageLoss(NamedTuple):
    """How well the hidden part of an image is predicted.

    Attributes:
        image: Which one.
        loss: Mean over the masks of the model's own loss on hidden positions.
        of_masks: That of each mask.
    """

    image: NamedImage
    loss: float
    of_masks: list[float]


def named_images(paths: Sequence[str]) -> list[NamedImage]:
    """Image files, and those in folders.

    Args:
        paths: Files and folders.

    Raises:
        FileNotFoundError: If one does not exist.
        ValueError: If a folder holds no images.
    """
    found = []
    for path in paths:
        root = path if os.path.isdir(path) else os.path.dirname(path)
        files = (sample['img_path'] for sample in image_samples([path]))
        found += [NamedImage(file, os.path.relpath(file, root or '.').replace(os.sep, '/')) for file in files]
    return list(dict.fromkeys(found))


def load_named(image: NamedImage, transforms: Sequence[Callable], seed: int) -> dict | None:
    """Loads an image with the mask of a seed.

    Args:
        image: The image.
        transforms: Built transforms, from loading to packing.
        seed: Of the mask.

    Returns:
        The packed sample; None if the file cannot be read, which is logged.
    """
    try:
        return load_sample({'img_path': image.path}, transforms, image.position, seed)
    except UnreadableImageError as error:
        print_log(f'Skipped an unreadable image: {error}', logger='current', level=logging.WARNING)
        return None


@torch.no_grad()
def image_losses(
    model: SimMIM, images: Iterable[NamedImage], transforms: Sequence[Callable], num_masks: int, seed: int = 0
) -> list[ImageLoss]:
    """Scores images, each with masks of its own.

    The masks follow from an image's name and the seed: for every model, and whatever other images there are.

    Args:
        model: A SimMIM model with a decoder.
        images: The images; those that cannot be read are left out.
        transforms: Built transforms, from loading to packing, without random crops.
        num_masks: Masks for each image.
        seed: Of the first mask; the others have those that follow.

    Returns:
        The images, the hardest first; of equal ones in the order of their names.
    """
    found = []
    with evaluating(model):
        for image in track(list(images), 'Scoring images'):
            samples = [load_named(image, transforms, seed + number) for number in range(num_masks)]
            packed = [sample for sample in samples if sample is not None]
            if len(packed) < num_masks:
                continue
            data = model.data_preprocessor(stack_samples(packed))
            losses = [float(scores['hidden_loss']) for scores in model.predict(data['inputs'], data['mask'])]
            found.append(ImageLoss(image, sum(losses) / num_masks, losses))
    return sorted(found, key=lambda scored: (-scored.loss, scored.image.name))
