"""The shapes that an encoder asks of window attention, with inputs and costs: what a benchmark needs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Case(NamedTuple):
    """The attention of equal blocks.

    Attributes:
        name: Stage, and whether windows are shifted.
        grid_hw: Rows and columns of tokens.
        window: Side of a window.
        shift: By how much the map is rolled.
        num_heads: Heads.
        head_width: Channels of a head.
        num_blocks: Blocks of the encoder that are alike.
    """

    name: str
    grid_hw: tuple[int, int]
    window: int
    shift: int
    num_heads: int
    head_width: int
    num_blocks: int

    def inputs(self, num_images: int, dtype: torch.dtype, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Drawn ``qkv`` and ``bias`` of :func:`~simmim_mm.acceleration.window_attention.window_attention`.

        Args:
            num_images: B.
            dtype: Of ``qkv``; the bias is fp32.
            device: Where to make them.

        Returns:
            (B, H, W, 3 h d) and (h, N, N), both with gradients.
        """
        num_tokens = self.window**2
        channels = 3 * self.num_heads * self.head_width
        qkv = torch.randn(num_images, *self.grid_hw, channels, dtype=dtype, device=device, requires_grad=True)
        bias = torch.randn(self.num_heads, num_tokens, num_tokens, device=device, requires_grad=True)
        return qkv, bias

    @property
    def arguments(self) -> tuple[tuple[int, int], tuple[int, int], int]:
        """The next arguments of the operator: window, shift and heads."""
        return (self.window, self.window), (self.shift, self.shift), self.num_heads

    def traffic(self, num_images: int, itemsize: int) -> tuple[int, int]:
        """Bytes that have to move between memory and processors: each tensor once; the bias is small.

        Args:
            num_images: B.
            itemsize: Bytes of a number of ``qkv``.

        Returns:
            Of the forward pass (read 3 C, write C for each token), and of the backward pass (read 4 C, write 3 C).
        """
        numbers = num_images * self.grid_hw[0] * self.grid_hw[1] * self.num_heads * self.head_width
        return 4 * numbers * itemsize, 7 * numbers * itemsize

    def operations(self, num_images: int) -> tuple[int, int]:
        """Floating-point operations of the products, without padding.

        Args:
            num_images: B.

        Returns:
            Of the forward pass (two products), and of the backward pass (five, one of which computes scores anew).
        """
        numbers = num_images * self.grid_hw[0] * self.grid_hw[1] * self.num_heads * self.head_width
        return 4 * self.window**2 * numbers, 10 * self.window**2 * numbers


def swin_cases(
    image_hw: tuple[int, int] = (192, 192),
    window: int = 6,
    depths: tuple[int, ...] = (2, 2, 18, 2),
    num_heads: tuple[int, ...] = (4, 8, 16, 32),
    head_width: int = 32,
) -> list[Case]:
    """The cases of a Swin; by default those of Swin-B as SimMIM pre-trains it.

    Args:
        image_hw: Height and width of the images, such that windows tile all maps.
        window: Side of the windows.
        depths: Blocks of the stages; every second one is shifted.
        num_heads: Of the stages.
        head_width: Channels of a head.

    Returns:
        One or two cases of each stage.

    Raises:
        ValueError: If windows do not tile a map.
    """
    cases = []
    for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
        stride = 4 * 2**stage
        if any(side % (stride * window) for side in image_hw):
            raise ValueError(f'windows of {window} do not tile the map of stride {stride} of images of {image_hw}')
        grid_hw = (image_hw[0] // stride, image_hw[1] // stride)
        shifted = depth // 2 if min(grid_hw) > window else 0
        for shift, number in ((0, depth - shifted), (window // 2, shifted)):
            if number:
                name = f'stage {stage + 1}{", shifted" if shift else ""}'
                cases.append(Case(name, grid_hw, window, shift, heads, head_width, number))
    return cases
