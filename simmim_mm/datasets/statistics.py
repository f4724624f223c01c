"""What a data set holds: mean and deviation of each channel, types, sizes, colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from simmim_mm.datasets.moments import PixelMoments, pixel_moments
from simmim_mm.datasets.transforms import LoadImage, UnreadableImageError
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.progress import track
from simmim_mm.registry import DATASETS


@dataclass
class ImageStatistics:
    """Statistics over all pixels of all images, which count alike.

    Attributes:
        num_images: Images that were read.
        num_unreadable: Files that could not be.
        reasons: Why not, one line a file.
        mean: (C,) float64, in the units of the loader.
        std: (C,) float64, of all pixels (not the unbiased estimate).
        low: (C,) smallest values.
        high: (C,) largest values.
        types: How many images of each type of numbers, as stored.
        sizes: How many images of each (H, W).
        num_grey: Grey images that were repeated into 3 channels.
        eight_bit: Whether the loader gave 8 bits of all of them.
    """

    num_images: int = 0
    num_unreadable: int = 0
    reasons: list[str] = field(default_factory=list)
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    std: np.ndarray = field(default_factory=lambda: np.zeros(0))
    low: np.ndarray = field(default_factory=lambda: np.zeros(0))
    high: np.ndarray = field(default_factory=lambda: np.zeros(0))
    types: Counter = field(default_factory=Counter)
    sizes: Counter = field(default_factory=Counter)
    num_grey: int = 0
    eight_bit: bool = True


def training_samples(cfg: Config, as_stored: bool = False) -> list[Callable[[], dict]]:
    """The training images of a config, before any crop.

    Args:
        cfg: A pre-training config.
        as_stored: Whether to read the channels and values that files hold, instead of those that the config asks for.

    Returns:
        Functions that load one image each: ``img`` (H, W, C).

    Raises:
        ValueError: If the data set loads its files in another way.
    """
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    samples: list[Callable[[], dict]] = []
    for dataset in base_datasets(DATASETS.build(cfg.train_dataloader.dataset)):
        load = next((step for step in dataset.pipeline.transforms if isinstance(step, LoadImage)), None)
        if load is None and len(dataset) and 'img' not in dataset.get_data_info(0):
            raise ValueError("the statistics need a pipeline that begins with dict(type='LoadImage')")
        if load is not None and as_stored:
            load = stored_loader(load)
        samples += [_loading(dataset, index, load) for index in range(len(dataset))]
    return samples


def stored_loader(load: LoadImage) -> LoadImage:
    """A loader of the channels and values that files hold.

    Args:
        load: The loader whose other settings it has.
    """
    limits = load.limits._asdict()
    return LoadImage(None, depth='stored', channel_axis=load.channel_axis, nan_value=load.nan_value, **limits)


def _loading(dataset: Any, index: int, load: LoadImage | None) -> Callable[[], dict]:
    return lambda: dataset.get_data_info(index) if load is None else load(dataset.get_data_info(index))


def image_statistics(samples: Sequence[Callable[[], dict]], num_images: int = 1000) -> ImageStatistics:
    """Reads images one after the other and keeps sums only.

    Args:
        samples: Functions that load an image each.
        num_images: How many to read at most, spread evenly.

    Returns:
        The statistics.

    Raises:
        ValueError: If the images differ in channels, or none can be read.
    """
    chosen = [samples[index] for index in np.linspace(0, len(samples) - 1, min(num_images, len(samples))).astype(int)]
    found = ImageStatistics()
    seen_channels: dict[int, str] = {}
    moments: PixelMoments | None = None
    for sample in track(chosen, 'Reading images'):
        try:
            results = sample()
        except UnreadableImageError as error:
            found.num_unreadable += 1
            found.reasons.append(str(error))
            continue
        image = results['img']
        seen_channels.setdefault(image.shape[2], results.get('img_path', 'one image'))
        if len(seen_channels) > 1:
            (first, other), (second, that) = list(seen_channels.items())[:2]
            raise ValueError(
                f'the files differ in channels: {other} has {first}, {that} has {second}; leave one kind out with '
                'pattern, list_file or extensions of the data set, or choose with model.data_preprocessor.channels'
            )
        own = pixel_moments(image)
        moments = own if moments is None else moments.merge(own)
        found.num_images += 1
        found.types[results.get('stored_type', image.dtype.name)] += 1
        found.eight_bit &= image.dtype == np.uint8
        found.sizes[image.shape[:2]] += 1
        found.num_grey += results.get('grey_repeated', False)
    if moments is None:
        raise ValueError(f'none of {len(chosen)} files can be read; the last one: {found.reasons[-1]}')
    found.mean, found.std, found.low, found.high = moments.mean, moments.std, moments.low, moments.high
    return found


def config_lines(found: ImageStatistics) -> str:
    """The statistics as the preprocessor's lines of a config, to paste.

    Args:
        found: The statistics.

    Returns:
        Several lines of Python.
    """
    lines = [
        'model = dict(',
        '    data_preprocessor=dict(',
        '        _delete_=True,',
        "        type='MaskedImagePreprocessor',",
    ]
    if not found.eight_bit:
        lines.append(f'        value_range={value_range(found)},')
    std = np.where(found.std > 0, found.std, 1.0)  # a constant band stays constant
    lines += [f'        mean={_numbers(found.mean)},', f'        std={_numbers(std)},', '    )', ')']
    return '\n'.join(lines)


def value_range(found: ImageStatistics) -> tuple[float, float]:
    """The usual range of values: of whole numbers from 0 that of their bits, of others what was found.

    Args:
        found: The statistics.

    Returns:
        (lowest, highest)
    """
    low, high = float(found.low.min()), float(found.high.max())
    for bits in (8, 10, 12, 14, 16):
        if low >= 0 and float(low).is_integer() and float(high).is_integer() and high > 1 and high < 2**bits:
            return 0, 2**bits - 1
    return (low, high) if high > low else (low, low + 1)


def report(found: ImageStatistics) -> str:
    """The statistics for a person.

    Args:
        found: The statistics.

    Returns:
        Several lines.
    """
    sizes = ', '.join(f'{count} of {h}x{w}' for (h, w), count in found.sizes.most_common(5))
    lines = [
        f'{found.num_images} images read, {found.num_unreadable} unreadable '
        f'({100 * found.num_unreadable / (found.num_images + found.num_unreadable):.1f} %)',
        *(f'  {reason}' for reason in found.reasons[:5]),
        f'height x width: {sizes}' + (f', and {len(found.sizes) - 5} other sizes' if len(found.sizes) > 5 else ''),
        'values: ' + ', '.join(f'{count} images of {kind}' for kind, count in found.types.items()),
        *([f'grey, repeated into 3 channels: {found.num_grey}'] if found.num_grey else []),
        '',
        'channel         mean          std          min          max',
    ]
    rows = zip(found.mean, found.std, found.low, found.high, strict=True)
    lines += [f'{number:7d}' + ''.join(f' {value:12.6g}' for value in row) for number, row in enumerate(rows)]
    flat = [number for number, std in enumerate(found.std) if std == 0]
    if flat:
        lines += [f'channels {flat} are constant; their std is written as 1']
    return '\n'.join(lines)


def _numbers(values: np.ndarray) -> str:
    return '[' + ', '.join(f'{value:.6g}' for value in values) + ']'
