"""A batch that is written row by row, in memory that the main process of the loader shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from simmim_mm.datasets.transforms.masks import MASK_KEYS
from simmim_mm.datasets.transforms.packing import PackMaskedImage, channels_first, check_packable


class Rows(Sequence):
    """The samples of a batch, which are rows of its tensors from the beginning.

    ``stack_samples`` takes the tensors as they are. To any other collate function this is a sequence of samples, as
    ``PackMaskedImage`` packs them.

    Args:
        num: How many samples there will be.

    Attributes:
        tensors: ``inputs`` (B, C, H, W) uint8 or float32, ``mask`` and ``other_mask`` (B, h, w) bool, where there are
            any.
        paths: Of the samples so far.
    """

    def __init__(self, num: int) -> None:
        self.num = num
        self.tensors: dict[str, Tensor] = {}
        self.paths: list[str] = []
        self._rows: dict[str, np.ndarray] = {}
        self._image_shape: tuple[int, ...] = ()

    def append(self, results: dict) -> None:
        """Writes the next sample.

        Args:
            results: What the pipeline made of it, before ``PackMaskedImage``.

        Raises:
            ValueError: If it differs from the first one in shape or type.
        """
        image = check_packable(results['img'])
        masks = {key: results[key] for key in MASK_KEYS if key in results}
        if not self.paths:
            self._allocate(image, masks)
        number, rows = len(self.paths), self._rows
        if (
            image.shape != self._image_shape
            or image.dtype != rows['inputs'].dtype
            or masks.keys() != rows.keys() - {'inputs'}
            or any(mask.shape != rows[key].shape[1:] for key, mask in masks.items())
        ):
            self._refuse(results)
        self._write(number, image, results)
        for key, mask in masks.items():
            rows[key][number] = mask
        self.paths.append(results.get('img_path', ''))

    def _allocate(self, image: np.ndarray, masks: dict[str, np.ndarray]) -> None:
        height, width, channels = self._image_shape = image.shape
        dtype = torch.uint8 if image.dtype == np.uint8 else torch.float32
        self.tensors['inputs'] = self._place_for_images((self.num, channels, height, width), dtype)
        for key, mask in masks.items():
            self.tensors[key] = shared((self.num, *mask.shape), torch.bool)
        self._rows = {key: tensor.numpy() for key, tensor in self.tensors.items()}

    def _place_for_images(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return shared(shape, dtype)

    def _write(self, number: int, image: np.ndarray, results: dict) -> None:
        channels_first(image, self._rows['inputs'][number])

    def as_batch(self) -> dict[str, Any]:
        """The whole batch, as ``stack_samples`` returns it."""
        return {**self.tensors, 'img_path': self.paths}

    def _refuse(self, results: dict) -> None:
        from simmim_mm.datasets.collate import check_alike

        other = PackMaskedImage().transform(results)
        first = Rows.__getitem__(self, 0)
        check_alike([first, other])
        missing = ' and '.join(sorted(first.keys() ^ other.keys()))
        raise ValueError(f'{missing} is drawn for some samples of one batch and not for others; draw it for all')

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        path = self.paths[number]  # raises IndexError at the end, for which iteration waits
        return {**{key: tensor[number] for key, tensor in self.tensors.items()}, 'img_path': path}


def shared(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An empty tensor; in a worker of the loader, in shared memory, where PyTorch's own collate function puts it."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    memory = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)
    return torch.empty(0, dtype=dtype).set_(memory).view(shape)
