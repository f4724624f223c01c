"""What an exporter needs to know of a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


class Target(ABC):
    """A code base that weights are exported to.

    Args:
        name: What ``--to`` says.
        backbone: Config of the encoder here, at the sizes that are exported; of a class of mmpretrain.
        module: The encoder that it builds, whose attributes and state dict tell what was derived.
        file_format: ``'pth'`` or ``'safetensors'``.

    Raises:
        ValueError: If the target has no such encoder, or cannot have these sizes or this file format.
        ImportError: If it is not installed.
    """

    formats: ClassVar[tuple[str, ...]] = ('pth', 'safetensors')

    def __init__(self, name: str, backbone: Mapping[str, Any], module: nn.Module, file_format: str) -> None:
        self.name, self.backbone, self.module, self.file_format = name, dict(backbone), module, file_format
        self.family = type(module).__name__
        if file_format not in self.formats:
            raise ValueError(f'{name} reads no {file_format} files; use --format {self.formats[0]}')

    @abstractmethod
    def keys(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by the keys of the file, from weights by our keys without ``backbone.``."""

    @abstractmethod
    def write(self, weights: Mapping[str, Tensor], path: str) -> None:
        """Writes the file (or folder), from weights by the keys of the file."""

    @abstractmethod
    def load(self, path: str) -> nn.Module:
        """Builds the target's own class and loads the file, the way its users do; in evaluation mode."""

    @abstractmethod
    def file_key(self, key: str) -> str:
        """The key in the file of a weight of the loaded class."""

    @abstractmethod
    def encode(self, module: nn.Module, images: Tensor) -> Tensor:
        """The last feature map (B, D, h, w) of images (B, C, H, W)."""

    @abstractmethod
    def stem(self, module: nn.Module) -> nn.Module:
        """The module whose output is that of the stem here: the tokens after the patch embedding and its norm."""

    def starts_fresh(self, key: str) -> bool:
        """Whether a weight of the class has no counterpart in pre-training, and starts as drawn."""
        return False

    @abstractmethod
    def hint(self, path: str) -> str:
        """What a user writes to use the file."""


def image_hw(backbone: Mapping[str, Any], default: int = 224) -> tuple[int, int]:
    """(H, W) of the images that a backbone's config says."""
    size = backbone.get('img_size', default)
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def mlp_ratio(module: nn.Module, first: str, width: int) -> float:
    """How many times as wide as its tokens the hidden layer of a block's MLP is."""
    hidden = module.get_parameter(f'{first}.ffn.layers.0.0.weight').shape[0]
    return hidden // width if hidden % width == 0 else hidden / width


def swin_windows(module: nn.Module) -> list[int]:
    """The window of each stage of a Swin (V1 or V2) of mmpretrain, in cells."""
    return [int(stage.blocks[0].attn.window_size) for stage in module.get_submodule('stages').children()]  # type: ignore


def check_windows_fit(module: nn.Module, backbone: Mapping[str, Any], where: str) -> None:
    """Checks that no window is larger than the feature map that it lies on, for targets that shrink it then.

    Raises:
        ValueError: If one is, with what to change.
    """
    windows, patch = swin_windows(module), module.get_parameter('patch_embed.projection.weight').shape[-1]
    maps = [min(image_hw(backbone)) // (patch * 2**stage) for stage in range(len(windows))]
    if any(window > cells for window, cells in zip(windows, maps, strict=True)):
        fitting = ' '.join(str(min(window, cells)) for window, cells in zip(windows, maps, strict=True))
        size = max(window * patch * 2**stage for stage, window in enumerate(windows))
        raise ValueError(
            f'the Swin of {where} shrinks windows to feature maps, which at {min(image_hw(backbone))} px are {maps} '
            f'cells wide, and windows {windows}; use --img-size {size}, or --window-size {fitting}'
        )


def one_window(module: nn.Module, where: str) -> int:
    """The window of a Swin for a target that has the same in all stages.

    Raises:
        ValueError: If the stages differ.
    """
    windows = swin_windows(module)
    if len(set(windows)) > 1:
        raise ValueError(
            f'{where} has the same window in all stages, and this encoder has {windows}; choose one, such as '
            f'--window-size {windows[0]}'
        )
    return windows[0]
