"""The pixels themselves."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor

from simmim_mm.registry import MODELS


@MODELS.register_module()
class PixelTarget(BaseModule):
    """The normalised image, as it is (SimMIM, section 3.4 of arXiv 2111.09886).

    Args:
        image_channels: Channels of the images. SimMIM finds it out.

    Attributes:
        channels: Channels of the target.
        stride: Pixels per side of a position of the target.
    """

    stride = 1

    def __init__(self, image_channels: int) -> None:
        super().__init__()
        self.channels = image_channels

    def forward(self, images: Tensor) -> Tensor:
        """Makes the target.

        Args:
            images: (B, C, H, W), normalised.

        Returns:
            (B, C, H, W)
        """
        return images

    def to_images(self, prediction: Tensor, images: Tensor) -> Tensor:
        """Turns a predicted map into images, for pictures.

        Args:
            prediction: (B, C, H, W)
            images: (B, C, H, W), the images that it is a prediction of.

        Returns:
            (B, C, H, W), normalised.
        """
        return prediction
