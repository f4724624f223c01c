"""Normalisation on the device: the one place that knows mean, std and channel order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from simmim_mm.datasets.device_decoding import decode_batch
from simmim_mm.datasets.encoded import EncodedImages
from simmim_mm.datasets.transforms.masks import MASK_KEYS
from simmim_mm.models.pixel_statistics import EIGHT_BIT, check_channels_number, check_range, statistics
from simmim_mm.options import check_flag
from simmim_mm.registry import MODELS


@MODELS.register_module()
class MaskedImagePreprocessor(BaseDataPreprocessor):
    """Brings a batch to the device and normalises its images there.

    Takes ``inputs`` (B, C, H, W) uint8 or float32, and ``mask`` and ``other_mask`` (B, h, w) bool where there are any;
    returns the same with ``inputs`` as float32, ``(x - mean) / std``. The whole model, and in a run the loader too,
    follow from the number of channels.

    Args:
        mean: Mean of each channel, in the units of the images (0 to 255 for 8-bit ones), in the order in which the
            model sees the channels. By default that of ImageNet for 3 channels of 8 bits, otherwise the middle of the
            range for each channel.
        std: Standard deviation of each channel, likewise; by default a quarter of the range.
        channels: Number of channels of the images: as many as ``mean`` has, where that is given, otherwise 3.
        value_range: Lowest and highest value that pixels usually have, such as ``(0, 65535)`` for 16 bits or
            ``(0, 1)``. By default that of 8-bit images, ``(0, 255)``; if it is given, the loader hands out the values
            that files hold, whatever their depth. Values outside are not clipped.
        bgr_to_rgb: Whether the loader hands out BGR (as mmcv's ``LoadImageFromFile`` does) and the model is to see RGB.
            This package's ``LoadImage`` hands out RGB.
        non_blocking: Whether copies from pinned memory run beside the computation.

    Raises:
        ValueError: If the arguments do not fit each other or are out of range.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels: int | None = None,
        value_range: Sequence[float] | None = None,
        bgr_to_rgb: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(check_flag(non_blocking, 'non_blocking', 'data_preprocessor'))
        self.stored_values = value_range is not None
        self.value_range = EIGHT_BIT if value_range is None else check_range(value_range)
        mean, std = statistics(mean, std, check_channels_number(channels), self.value_range, self.stored_values)
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
            data: ``inputs``, ``mask``, ``other_mask`` and whatever else the loader collated. ``inputs`` may be files
                that are still to be decoded (``decode='device'`` of the data set).
            training: Whether the batch is trained on. It matters where the image of a damaged file is replaced: see
                :func:`~simmim_mm.datasets.device_decoding.decode_batch`.

        Returns:
            The same keys.

        Raises:
            ValueError: If images or mask have another type or number of channels than announced.
            DeviceDecodingError: If files are to be decoded and cannot be.
        """
        if isinstance(data['inputs'], EncodedImages):
            data = decode_batch(data, self.mean.device, training)
        inputs = data['inputs']
        self._check_images(inputs)
        for key in MASK_KEYS:
            mask = data.get(key)
            if mask is not None and (mask.dtype != torch.bool or mask.ndim != 3 or len(mask) != len(inputs)):
                raise ValueError(f'{key} is {_describe(mask)}; expected ({len(inputs)}, h, w) bool, True means hidden')
        data = self.cast_data(data)
        images = data['inputs'].float()
        if self.bgr_to_rgb:
            images = images.flip(1)
        return {**data, 'inputs': (images - self.mean) / self.std}

    def _check_images(self, inputs: Any) -> None:
        if not isinstance(inputs, Tensor) or inputs.ndim != 4 or inputs.dtype not in (torch.uint8, torch.float32):
            raise ValueError(
                f'inputs are {_describe(inputs)}; expected one (B, C, H, W) tensor, uint8 or float32: end the pipeline '
                "with dict(type='PackMaskedImage') and collate with collate_fn=dict(type='simmim_mm.stack_samples')"
            )
        if inputs.dtype == torch.float32 and not self.stored_values:
            raise ValueError(
                f'inputs are {_describe(inputs)}, but data_preprocessor expects 8-bit images; say which values they '
                'have, with value_range=(0, 65535) or the like in data_preprocessor; do not normalise in the pipeline, '
                "and end it with dict(type='PackMaskedImage'), collated with simmim_mm.stack_samples"
            )
        if inputs.dtype == torch.uint8 and self.value_range != EIGHT_BIT:
            raise ValueError(
                f'inputs are 8-bit images, but data_preprocessor has value_range={self.value_range}; delete it, or '
                'leave 8-bit files out of the data set'
            )
        if inputs.shape[1] != self.channels:
            raise ValueError(
                f'the images have {inputs.shape[1]} channels, but data_preprocessor has {self.channels} means; '
                'change channels (or mean and std) of the data_preprocessor, or what the pipeline loads'
            )

    def denormalise(self, images: Tensor) -> Tensor:
        """Undoes the normalisation.

        Args:
            images: (B, C, H, W), normalised.

        Returns:
            (B, C, H, W) in the model's channel order; for a value range of 0 to 255 uint8, rounded, for any other
            float32.
        """
        values = images.float() * self.std + self.mean
        return values.round().clamp(0, 255).to(torch.uint8) if self.value_range == EIGHT_BIT else values

    def display_units(self) -> tuple[Tensor, Tensor]:
        """What brings normalised values to units of 0 to 255, the value range's lowest and highest value.

        Returns:
            Factor and summand of each channel, both (C,).
        """
        low, high = self.value_range
        unit = 255 / (high - low)
        return self.std.flatten() * unit, (self.mean.flatten() - low) * unit

    def normalised_range(self) -> tuple[Tensor, Tensor]:
        """The value range in the units that the model sees.

        Returns:
            Lowest and highest value of each channel, both (C,).
        """
        low, high = self.value_range
        mean, std = self.mean.flatten(), self.std.flatten()
        return (low - mean) / std, (high - mean) / std


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f'a tensor of shape {tuple(value.shape)} and type {value.dtype}'
    return f'a {type(value).__name__}'
