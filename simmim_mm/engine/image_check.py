"""What a look at a few training images tells of settings that would train, but not on what was meant."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dist import master_only
from mmengine.logging import print_log

from simmim_mm.datasets.transforms import LoadImage, UnreadableImageError
from simmim_mm.datasets.transforms.stored import ImageSettingError
from simmim_mm.datasets.wrappers import base_datasets

# A range of which the images use less than this share was likely meant for other images.
SMALL_SHARE = 0.25


@master_only
def warn_of_unlikely_images(dataset: Any, preprocessor: Any, num_images: int = 16) -> None:
    """Warns once of grey images that are repeated, and of values that do not fit the announced range.

    Args:
        dataset: The training set; the host's wrappers are looked into.
        preprocessor: Of the model, which knows the range of the values.
        num_images: How many to look at, spread over each set.

    Raises:
        ValueError: If one of them has another number of channels than the model.
    """
    value_range = getattr(preprocessor, 'value_range', None)
    for base in base_datasets(dataset):
        load = next((step for step in base.pipeline.transforms if isinstance(step, LoadImage)), None)
        samples = [] if load is None else _samples(base, load, num_images)
        if not samples:
            continue
        if all(sample['grey_repeated'] for sample in samples):
            _warn(
                f'all of {len(samples)} training images that were looked at are grey, and are repeated into 3 equal '
                'channels; model.data_preprocessor.channels=1 trains on grey, with a third of the work at both ends'
            )
        if value_range is not None:
            _check_values(samples, *value_range)


def _samples(dataset: BaseDataset, load: LoadImage, num: int) -> list[dict]:
    samples = []
    for index in np.linspace(0, len(dataset) - 1, min(num, len(dataset))).astype(int):
        info = dataset.get_data_info(int(index))
        if 'img_path' not in info:
            return []
        try:
            samples.append(load(info))
        except UnreadableImageError:
            continue  # the data set counts and lists these
        except ImageSettingError:
            if getattr(dataset, 'unfit', 'stop') == 'stop':
                raise
    return samples


def _check_values(samples: list[dict], low: float, high: float) -> None:
    images = [sample['img'] for sample in samples]
    lowest, highest = min(float(image.min()) for image in images), max(float(image.max()) for image in images)
    outside = np.mean([((image < low) | (image > high)).mean() for image in images])
    seen = f'the values of {len(images)} training images that were looked at lie from {lowest:g} to {highest:g}'
    advice = 'run tools/dataset_statistics.py, and give value_range, mean and std in model.data_preprocessor'
    if outside > 0.01:
        _warn(
            f'{seen}, {100 * outside:.0f} % of them outside the range of {low:g} to {high:g} that is announced; '
            f'{advice}'
        )
    elif highest < SMALL_SHARE * 256 and any(_lost_bits(sample) for sample in samples):
        _warn(
            f'{len(images)} training images that were looked at hold 16-bit values, of which {highest:g} of 255 is the '
            'highest when they are brought to 8 bits, so that most of their grey levels are lost and errors will look '
            'small; run tools/dataset_statistics.py CONFIG --as-stored, and give value_range, mean and std in '
            'model.data_preprocessor, which keeps all bits'
        )
    elif highest - lowest < SMALL_SHARE * (high - low):
        _warn(
            f'{seen}, a small part of the range of {low:g} to {high:g} that is announced, so errors will look small; '
            f'{advice}'
        )


def _lost_bits(sample: dict) -> bool:
    return sample.get('stored_type') == 'uint16' and sample['img'].dtype == np.uint8


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
