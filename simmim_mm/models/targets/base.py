"""What all targets share."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor


class Target(BaseModule):
    """Turns images into what the decoder is to predict.

    A subclass implements :meth:`forward`, sets ``channels`` and ``stride``, and has :meth:`to_images`, or sets
    ``shows_images = False`` and has :meth:`to_pictures`. Its constructor takes ``image_channels``, and may take
    ``pixel_range``, ``raw_range`` and ``image_hw``, which the head hands on from the model.

    Attributes:
        channels: Channels of the target.
        stride: Pixels per side of a position of the target; must divide the encoder's stride.
        num_classes: None for numbers to regress; k for labels from 0 to k - 1, int64, in each channel.
        shows_images: Whether a prediction can be turned back into images.
        stride_setting: Name of the argument that sets the stride, for messages.
    """

    channels: int
    stride: int
    num_classes: int | None = None
    shows_images: bool = True
    stride_setting: str = 'stride'

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Makes the target.

        Args:
            images: (B, C, H, W), normalised.

        Returns:
            (B, channels, H / stride, W / stride)
        """

    def to_images(self, estimate: Tensor, images: Tensor) -> Tensor:
        """Turns a predicted map into images.

        Args:
            estimate: (B, channels, H / stride, W / stride), numbers, or labels.
            images: (B, C, H, W), the images that it is a prediction of, normalised.

        Returns:
            (B, C, H, W), normalised.
        """
        raise NotImplementedError(f'{type(self).__name__} does not turn predictions into images')

    def to_pictures(self, maps: Tensor, images: Tensor) -> Tensor:
        """Draws a map that is no image.

        Args:
            maps: (B, channels, H / stride, W / stride), the target or a prediction of it.
            images: (B, C, H, W), the images that it belongs to, normalised.

        Returns:
            (B, 3, H, W), RGB from 0 to 1.
        """
        raise NotImplementedError(f'{type(self).__name__} does not draw its maps')


def enlarge(maps: Tensor, stride: int) -> Tensor:
    """Repeats each position: (B, C, h, w) becomes (B, C, h * stride, w * stride)."""
    return F.interpolate(maps, scale_factor=stride) if stride > 1 else maps


def shrink(images: Tensor, stride: int) -> Tensor:
    """Means over squares: (B, C, H, W) becomes (B, C, H / stride, W / stride)."""
    return F.avg_pool2d(images, stride) if stride > 1 else images


def widen(maps: Tensor) -> Tensor:
    """The same in float64, where the device has it; for sums in which fp32 would lose what is looked for."""
    return maps if maps.device.type == 'mps' else maps.to(torch.float64)
