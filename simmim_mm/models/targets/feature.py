"""Features of a frozen teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from simmim_mm.datasets.transforms.geometry import check_size
from simmim_mm.models.outputs import last_map
from simmim_mm.models.targets.base import Target, enlarge
from simmim_mm.models.targets.teacher import FrozenTeacher
from simmim_mm.options import check_whole
from simmim_mm.registry import MODELS


@MODELS.register_module()
class FeatureTarget(Target):
    """The last feature map of a trained network that sees the whole image (as in MVP, arXiv 2203.05175).

    The teacher sees the images as the student does, normalised by the model's data preprocessor. It always is in
    evaluation mode, gets no gradient, and is no submodule: it is in no optimiser and in no checkpoint, and copies of
    the model (EMA) share it. It is read from its own checkpoint whenever the model is built. It runs in the precision
    of training (bf16 under autocast); its features become fp32 before they are normalised.

    Args:
        image_channels: Channels of the images. SimMIM finds out this one and the next.
        image_hw: (H, W) of the images that the teacher is tried on when it is built.
        teacher: Config of a network whose last output is (B, D, h, w), such as
            ``dict(type='mmpretrain.VisionTransformer', arch='b', out_type='featmap')``.
        checkpoint: File with its weights. Every key of the teacher must be there, and no other below ``backbone.``.
        norm: ``'layer'`` to normalise each position's feature to mean 0 and variance 1, without learned scale; None for
            features as they are.

    Attributes:
        teacher: The network.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If an argument is out of range, the weights are not the teacher's, or it takes other images.
    """

    shows_images = False
    stride_setting = 'teacher'

    def __init__(
        self,
        image_channels: int,
        image_hw: tuple[int, int] = (192, 192),
        teacher: dict[str, Any] | None = None,
        checkpoint: str | None = None,
        norm: str | None = 'layer',
    ) -> None:
        super().__init__()
        check_whole(image_channels, 'image_channels', 'FeatureTarget')
        if norm not in (None, 'layer'):
            raise ValueError(f"norm={norm!r} of FeatureTarget is unknown; use 'layer' or None")
        image_hw = check_size(image_hw, 'image_hw')
        self.norm = norm
        self._frozen = FrozenTeacher.build(teacher, checkpoint, image_channels)
        self.channels, self.stride = self._frozen.probe(image_channels, image_hw)

    @property
    def teacher(self) -> torch.nn.Module:
        """The network."""
        return self._frozen.network

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D, H / stride, W / stride) in fp32 of whole images (B, C, H, W).

        Raises:
            ValueError: If the teacher makes a map of another stride of these images.
        """
        with torch.no_grad():
            features = last_map(self.teacher(images), self.teacher).float()
        height, width = images.shape[-2:]
        if (features.shape[-2] * self.stride, features.shape[-1] * self.stride) != (height, width):
            raise ValueError(
                f'the teacher {type(self.teacher).__name__} makes a map of {features.shape[-2]}x{features.shape[-1]} '
                f'of images of {height}x{width}, and its stride was {self.stride} when it was built; change the size '
                'of the crop in the pipeline'
            )
        if self.norm == 'layer':
            features = F.layer_norm(features.movedim(1, -1), (self.channels,)).movedim(-1, 1)
        return features

    def to_pictures(self, maps: Tensor, images: Tensor) -> Tensor:
        """Draws the first three principal components of the teacher's features, as red, green and blue.

        Args:
            maps: (B, D, h, w)
            images: (B, C, H, W), normalised; the components are those of their features, so that target and prediction
                are drawn in the same colours.

        Returns:
            (B, 3, H, W), 0 to 1; two standard deviations of a component are 0 or 1.
        """
        reference = self(images).movedim(1, -1).flatten(0, -2).double().cpu()
        mean = reference.mean(dim=0)
        variances, directions = torch.linalg.eigh((reference - mean).T @ (reference - mean) / len(reference))
        first = directions[:, -3:].flip(1) / variances[-3:].flip(0).clamp(min=1e-12).sqrt()  # eigh sorts upwards
        scores = (maps.movedim(1, -1).double().cpu() - mean) @ first  # (B, h, w, 3)
        shown = (0.5 + scores / 4).clamp(0, 1).movedim(-1, 1).to(maps.device, torch.float32)
        shown = F.pad(shown, (0, 0, 0, 0, 0, 3 - shown.shape[1]), value=0.5)
        return enlarge(shown, self.stride)

    def _apply(self, fn: Callable, recurse: bool = True) -> FeatureTarget:
        """Moves the teacher along with the model, which does not know it as a submodule."""
        super()._apply(fn, recurse)
        self._frozen = self._frozen.moved(fn)
        return self
