"""Tokens of a frozen tokenizer, as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from simmim_mm.datasets.transforms.geometry import check_size
from simmim_mm.models.outputs import last_map
from simmim_mm.models.targets.base import Target, enlarge
from simmim_mm.models.targets.pixel_range import PixelRange
from simmim_mm.models.targets.teacher import FrozenTeacher
from simmim_mm.options import check_whole, is_number
from simmim_mm.registry import MODELS


@MODELS.register_module()
class TokenTarget(Target):
    """The discrete token of each square (table 5 of arXiv 2111.09886; BEiT, section 2.1 of arXiv 2106.08254).

    A frozen tokenizer scores the words of its vocabulary at each position; the label is the word that scores highest.
    The tokenizer is no submodule and in no checkpoint, as the teacher of :class:`FeatureTarget`.

    Args:
        image_channels: Channels of the images. SimMIM finds out this one and the next two.
        pixel_range: Lowest and highest pixel value of each channel, normalised.
        image_hw: (H, W) of the images that the tokenizer is tried on when it is built.
        tokenizer: Config of a network whose last output is (B, vocabulary, h, w), such as
            ``dict(type='mmpretrain.DALL-E')``.
        checkpoint: File with its weights. Every key of the tokenizer must be there, and no other.
        stride: Pixels per side of a token; None for the tokenizer's own. With another one the tokenizer sees the image
            resized, as BEiT's does (16 px a token where DALL-E's has 8). Must divide the encoder's stride.
        value_range: What the tokenizer takes for the lowest and the highest pixel value: (0.1, 0.9) for DALL-E's.

    Attributes:
        num_classes: Size of the vocabulary.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If an argument is out of range, the weights are not the tokenizer's, or it takes other images.
    """

    shows_images = False

    def __init__(
        self,
        image_channels: int,
        pixel_range: Sequence[Sequence[float]] | None = None,
        image_hw: tuple[int, int] = (192, 192),
        tokenizer: dict[str, Any] | None = None,
        checkpoint: str | None = None,
        stride: int | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.channels = 1
        check_whole(image_channels, 'image_channels', 'TokenTarget')
        image_hw = check_size(image_hw, 'image_hw')
        if stride is not None:
            check_whole(stride, 'stride', 'TokenTarget')
        pair = list(value_range) if isinstance(value_range, list | tuple) else []
        if len(pair) != 2 or not all(map(is_number, pair)) or pair[0] >= pair[1]:
            raise ValueError(
                f'value_range={value_range!r} of TokenTarget must be two numbers, the lower one first: (0.1, 0.9), say'
            )
        self.value_range = (float(pair[0]), float(pair[1]))
        self.pixels = PixelRange(pixel_range, image_channels, 'TokenTarget')
        self._frozen = FrozenTeacher.build(tokenizer, checkpoint, image_channels, slot='tokenizer')
        self.num_classes, self._own_stride = self._frozen.probe(image_channels, image_hw)
        self.stride = self._own_stride if stride is None else stride

    @property
    def tokenizer(self) -> torch.nn.Module:
        """The network."""
        return self._frozen.network

    def forward(self, images: Tensor) -> Tensor:
        """Labels (B, 1, H / stride, W / stride) int64 of normalised images (B, C, H, W).

        Raises:
            ValueError: If the tokenizer makes another number of tokens of these images.
        """
        height, width = images.shape[-2:]
        grid_hw = (height // self.stride, width // self.stride)
        low, high = self.value_range
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            values = self.pixels.to_share(images.float()) * (high - low) + low
            if self.stride != self._own_stride:
                size = (grid_hw[0] * self._own_stride, grid_hw[1] * self._own_stride)
                values = F.interpolate(values, size=size, mode='bilinear', antialias=True)
            tokens = last_map(self.tokenizer(values), self.tokenizer).argmax(dim=1, keepdim=True)
        if tuple(tokens.shape[-2:]) != grid_hw:
            raise ValueError(
                f'the tokenizer {type(self.tokenizer).__name__} makes {tokens.shape[-2]}x{tokens.shape[-1]} tokens of '
                f'images of {height}x{width}, where {grid_hw[0]}x{grid_hw[1]} of {self.stride} px were expected; '
                'change the size of the crop in the pipeline'
            )
        return tokens

    def to_pictures(self, maps: Tensor, images: Tensor) -> Tensor:
        """Draws each token as the mean colour of the places that have it in these images; other tokens are black.

        Args:
            maps: (B, 1, h, w), labels.
            images: (B, C, H, W), normalised.

        Returns:
            (B, 3, H, W), 0 to 1.
        """
        shares = self.pixels.to_share(images.float()).clamp(0, 1)
        shares = shares[:, :3] if shares.shape[1] >= 3 else shares[:, :1].expand(-1, 3, -1, -1)
        colours = F.avg_pool2d(shares, self.stride).movedim(1, -1).flatten(0, 2)  # (B h w, 3)
        used = F.one_hot(self(images).flatten(), self.num_classes or 0).to(colours.dtype)
        palette = used.T @ colours / used.sum(dim=0).clamp(min=1).unsqueeze(1)  # (vocabulary, 3)
        return enlarge(palette[maps.squeeze(1)].movedim(-1, 1), self.stride)

    def _apply(self, fn: Callable, recurse: bool = True) -> TokenTarget:
        """Moves the tokenizer along with the model, which does not know it as a submodule."""
        super()._apply(fn, recurse)
        self._frozen = self._frozen.moved(fn)
        return self
