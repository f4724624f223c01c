"""Normalisation on the device: the one place that knows mean, std and channel order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from simmim_mm.datasets.transforms.masks import MASK_KEYS
from simmim_mm.options import check_flag
from simmim_mm.registry import MODELS


@MODELS.register_module()
class MaskedImagePreprocessor(BaseDataPreprocessor):
    """Brings a batch to the device and normalises its images there.

    Takes ``inputs`` (B, C, H, W) uint8, and ``mask`` and ``other_mask`` (B, h, w) bool where there are any; returns the
    same with ``inputs`` as float32, ``(x - mean) / std``.

    Args:
        mean: Mean of each channel, in units of 0 to 255, in the order in which the model sees the channels. As many as
            the images have channels: the whole model follows from this number.
        std: Standard deviation of each channel, likewise.
        bgr_to_rgb: Whether the loader hands out BGR (as mmcv's ``LoadImageFromFile`` does) and the model is to see RGB.
            This package's ``LoadImage`` hands out RGB.
        non_blocking: Whether copies from pinned memory run beside the computation.

    Raises:
        ValueError: If ``mean`` and ``std`` do not fit each other or are out of range.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(check_flag(non_blocking, 'non_blocking', 'data_preprocessor'))
        if not all(isinstance(value, Sequence) and not isinstance(value, str) for value in (mean, std)):
            raise ValueError(f'mean={mean!r} and std={std!r} of data_preprocessor must be lists, a number a channel')
        mean, std = list(mean), list(std)
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in [*mean, *std]):
            raise ValueError(f'mean={mean} and std={std} of data_preprocessor must be lists of finite numbers')
        if not mean or len(mean) != len(std):
            raise ValueError(
                f'data_preprocessor has {len(mean)} means and {len(std)} stds; give one of each for every channel'
            )
        if not all(value > 0 for value in std):
            raise ValueError(f'std={std} of data_preprocessor must be above 0 in every channel (units: 0 to 255)')
        if max(map(abs, mean)) <= 1 and max(std) < 1:
            raise ValueError(
                f'mean={mean} and std={std} of data_preprocessor look like units of 0 to 1; give them in units of '
                '0 to 255'
            )
        check_flag(bgr_to_rgb, 'bgr_to_rgb', 'data_preprocessor')
        if bgr_to_rgb and len(mean) != 3:
            raise ValueError(f'bgr_to_rgb=True needs 3 channels, but mean has {len(mean)}; set bgr_to_rgb=False')
        self.bgr_to_rgb = bgr_to_rgb
        # Not in checkpoints: they are configuration, and old checkpoints do not have them.
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.mean.shape[1]

    def forward(self, data: dict, training: bool = False) -> dict:
        """Moves and normalises one batch.

        Args:
            data: ``inputs``, ``mask``, ``other_mask`` and whatever else the loader collated.
            training: Unused; the host passes it.

        Returns:
            The same keys.

        Raises:
            ValueError: If images or mask have another type or number of channels than announced.
        """
        inputs = data['inputs']
        if not isinstance(inputs, Tensor) or inputs.ndim != 4 or inputs.dtype != torch.uint8:
            raise ValueError(
                f'inputs are {_describe(inputs)}; expected one (B, C, H, W) uint8 tensor: end the pipeline with '
                "dict(type='PackMaskedImage') and collate with collate_fn=dict(type='simmim_mm.stack_samples')"
            )
        if inputs.shape[1] != self.channels:
            raise ValueError(
                f'the images have {inputs.shape[1]} channels, but data_preprocessor has {self.channels} means; '
                'change mean and std of the data_preprocessor, or what the pipeline loads'
            )
        for key in MASK_KEYS:
            mask = data.get(key)
            if mask is not None and (mask.dtype != torch.bool or mask.ndim != 3 or len(mask) != len(inputs)):
                raise ValueError(f'{key} is {_describe(mask)}; expected ({len(inputs)}, h, w) bool, True means hidden')
        data = self.cast_data(data)
        images = data['inputs'].float()
        if self.bgr_to_rgb:
            images = images.flip(1)
        return {**data, 'inputs': (images - self.mean) / self.std}

    def denormalise(self, images: Tensor) -> Tensor:
        """Undoes the normalisation.

        Args:
            images: (B, C, H, W), normalised.

        Returns:
            (B, C, H, W) uint8, rounded, in the model's channel order.
        """
        return (images.float() * self.std + self.mean).round().clamp(0, 255).to(torch.uint8)


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f'a tensor of shape {tuple(value.shape)} and type {value.dtype}'
    return f'a {type(value).__name__}'
