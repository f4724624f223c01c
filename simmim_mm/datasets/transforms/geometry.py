"""Crops and flips, with an antialiased resize."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from mmcv.transforms import BaseTransform

from simmim_mm.datasets.randomness import rng_of
from simmim_mm.datasets.transforms.maps import crop_maps, flip_maps
from simmim_mm.datasets.transforms.resizing import resize
from simmim_mm.options import is_number
from simmim_mm.registry import TRANSFORMS

# (top, left, height, width) in pixels of an image.
Box = tuple[int, int, int, int]


def check_size(size: int | Sequence[int], name: str = 'size') -> tuple[int, int]:
    """Reads an image size.

    Args:
        size: One side of a square, or (height, width), in pixels.
        name: What the user calls it, for the message.

    Returns:
        (height, width)

    Raises:
        ValueError: If it is neither one nor two positive whole numbers.
    """
    pair = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(pair, Sequence)
        or len(pair) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in pair)
    ):
        raise ValueError(f'{name}={size!r} is no image size; use a number of pixels such as 192, or (height, width)')
    return pair[0], pair[1]


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Cuts out a random box and resizes it, with antialiasing.

    SimMIM's augmentation (arXiv 2111.09886, section 4.1): 67 to 100 % of the area, aspect ratios from 3/4 to 4/3. The
    box is drawn as torchvision's ``RandomResizedCrop`` draws it. mmpretrain resizes without antialiasing, so its
    training images are a little sharper and noisier. An image smaller than ``size`` is enlarged.

    Changes ``img`` ((height, width, C) uint8), ``img_shape``, and all ``maps`` (see ``LoadMap``) likewise.

    Args:
        size: Side of the square result, or (height, width).
        scale: Smallest and largest share of the image's area.
        ratio: Smallest and largest width/height of the box, relative to that of ``size``.
        sizes: Several sizes to train at. Each batch gets one of them at random, the same for all its images and in all
            processes; ``size`` is then that of pictures. None for ``size`` alone.
        begins: Share of the run at which each of ``sizes`` begins, for sizes that follow each other, such as
            ``[0.0, 0.5, 0.8]``. None for one at random.

    Raises:
        ValueError: If an argument is out of range.
    """

    MAX_ATTEMPTS = 10

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.67, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        sizes: Sequence[int | Sequence[int]] | None = None,
        begins: Sequence[float] | None = None,
    ) -> None:
        self.size = check_size(size)
        if sizes is not None and (not isinstance(sizes, Sequence) or isinstance(sizes, str) or not sizes):
            raise ValueError(f'sizes={sizes!r} of RandomResizedCrop must be a list of sizes, such as [160, 192, 224]')
        self.sizes = None if sizes is None else [check_size(each, 'sizes') for each in sizes]
        self.begins = None if begins is None else _check_begins(begins, self.sizes)
        self.scale = _check_range(scale, 'scale', upper=1.0)
        self.ratio = _check_range(ratio, 'ratio', upper=math.inf)

    def transform(self, results: dict) -> dict:
        """Crops and resizes one image."""
        return _cut_out(results, *self.box_of(results, results['img'].shape[:2]))

    def box_of(self, results: dict, image_hw: tuple[int, int]) -> tuple[Box, tuple[int, int]]:
        """Draws the box of a sample.

        Args:
            results: The sample, with its generator.
            image_hw: (H, W) of its image.

        Returns:
            The box, and (height, width) to bring it to.
        """
        size = self._size_of(results)
        return self._draw_box(*image_hw, rng_of(results), size), size

    def size_at(self, progress: float) -> tuple[int, int]:
        """The size at a moment of a run, where sizes follow each other.

        Args:
            progress: Share of the run that has passed.

        Returns:
            (height, width)
        """
        assert self.sizes is not None
        assert self.begins is not None
        return self.sizes[bisect.bisect_right(self.begins, progress) - 1]

    def _size_of(self, results: dict) -> tuple[int, int]:
        """The size of the batch that a sample belongs to."""
        if self.sizes is None:
            return self.size
        if 'batch' not in results:
            raise ValueError(
                f'sizes={self.sizes} of RandomResizedCrop change from batch to batch, and this sample does not know '
                "its batch: use sampler=dict(type='SeededSampler') in train_dataloader and add "
                "dict(type='SampleProgressHook') to custom_hooks"
            )
        if self.begins is not None:
            return self.size_at(results['progress'])
        return self.sizes[int(np.random.default_rng(results['batch']).integers(len(self.sizes)))]

    def _draw_box(self, height: int, width: int, rng: np.random.Generator, size: tuple[int, int] | None = None) -> Box:
        out_h, out_w = size or self.size
        aspect = out_w / out_h
        low, high = self.ratio[0] * aspect, self.ratio[1] * aspect
        log_low, log_high = math.log(low), math.log(high)
        for _ in range(self.MAX_ATTEMPTS):
            # rng.uniform gives the same numbers, and takes four times as long.
            area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * rng.random())
            ratio = math.exp(log_low + (log_high - log_low) * rng.random())
            box_w, box_h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < box_w <= width and 0 < box_h <= height:
                top = int(rng.integers(height - box_h + 1))
                left = int(rng.integers(width - box_w + 1))
                return top, left, box_h, box_w
        # No box fits: the largest central one with an allowed aspect.
        ratio = min(max(width / height, low), high)
        box_w = min(width, max(1, round(height * ratio)))
        box_h = min(height, max(1, round(width / ratio)))
        return (height - box_h) // 2, (width - box_w) // 2, box_h, box_w

    def __repr__(self) -> str:
        sizes = '' if self.sizes is None else f', sizes={self.sizes}'
        sizes += '' if self.begins is None else f', begins={self.begins}'
        return f'{type(self).__name__}(size={self.size}, scale={self.scale}, ratio={self.ratio}{sizes})'


@TRANSFORMS.register_module()
class CenterCrop(BaseTransform):
    """Cuts out the largest central box with the aspect of ``size``, and resizes it, with antialiasing.

    For validation and pictures: nothing random. Changes ``img``, ``img_shape``, and all ``maps`` likewise.

    Args:
        size: Side of the square result, or (height, width).
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = check_size(size)

    def transform(self, results: dict) -> dict:
        """Crops and resizes one image."""
        return _cut_out(results, *self.box_of(results, results['img'].shape[:2]))

    def box_of(self, results: dict, image_hw: tuple[int, int]) -> tuple[Box, tuple[int, int]]:
        """The box of an image; see :meth:`RandomResizedCrop.box_of`."""
        height, width = image_hw
        scale = min(height / self.size[0], width / self.size[1])
        box_h = min(height, max(1, round(self.size[0] * scale)))
        box_w = min(width, max(1, round(self.size[1] * scale)))
        return ((height - box_h) // 2, (width - box_w) // 2, box_h, box_w), self.size

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirrors left and right.

    Changes ``img`` and all ``maps``, adds ``flip``.

    Args:
        prob: Share of the images that are mirrored.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not isinstance(prob, int | float) or isinstance(prob, bool) or not 0 <= prob <= 1:
            raise ValueError(f'prob={prob!r} is no probability; use a number from 0 to 1')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirrors one image, or not."""
        results['flip'] = bool(rng_of(results).random() < self.prob)
        if results['flip']:
            results['img'] = results['img'][:, ::-1]
            flip_maps(results)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'


def _check_begins(begins: Sequence[float], sizes: list[tuple[int, int]] | None) -> list[float]:
    if sizes is None:
        raise ValueError(f'begins={begins!r} of RandomResizedCrop says when each of sizes begins; give sizes too')
    if (
        not isinstance(begins, Sequence)
        or isinstance(begins, str)
        or len(begins) != len(sizes)
        or not all(is_number(begin) and 0 <= begin < 1 for begin in begins)
        or begins[0] != 0
        or any(first >= second for first, second in pairwise(begins))
    ):
        raise ValueError(
            f'begins={begins!r} of RandomResizedCrop must be a share of the run for each of the {len(sizes)} sizes, '
            'ascending from 0 and below 1, such as [0.0, 0.5, 0.8]'
        )
    return [float(begin) for begin in begins]


def _cut_out(results: dict, box: Box, size: tuple[int, int]) -> dict:
    top, left, height, width = box
    results['img'] = resize(results['img'][top : top + height, left : left + width], size)
    results['img_shape'] = size
    crop_maps(results, box, size)
    return results


def _check_range(values: Sequence[float], name: str, upper: float) -> tuple[float, float]:
    if (
        not isinstance(values, Sequence)
        or len(values) != 2
        or not all(isinstance(value, int | float) for value in values)
        or not 0 < values[0] <= values[1] <= upper
        or math.isinf(values[1])
    ):
        limit = '' if math.isinf(upper) else f', at most {upper:g}'
        raise ValueError(f'{name}={values!r} is no range; use (smallest, largest), above 0{limit}')
    return float(values[0]), float(values[1])
