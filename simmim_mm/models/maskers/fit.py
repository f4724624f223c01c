"""Masks on the grid of a stem."""

from __future__ import annotations

from torch import Tensor

from simmim_mm.masking import expand


def hidden_tokens(mask: Tensor, grid_hw: tuple[int, int], image_hw: tuple[int, int]) -> Tensor:
    """Which tokens of a stem are hidden.

    Args:
        mask: (B, h', w') bool, on the stem's grid or a coarser one that divides it.
        grid_hw: (h, w) of the stem's tokens.
        image_hw: (H, W) of the images, for the message.

    Returns:
        (B, h, w) bool.

    Raises:
        ValueError: If the mask is finer than the stem's cells, or does not fit them.
    """
    if mask.shape[-2] > grid_hw[0] or mask.shape[-1] > grid_hw[1]:
        raise ValueError(
            f'a mask of {mask.shape[-2]}x{mask.shape[-1]} cells is finer than the {grid_hw[0]}x{grid_hw[1]} tokens of '
            f'the stem; use a mask_patch_size of at least {image_hw[0] // grid_hw[0]}, or '
            "masker=dict(type='PixelMasker'), which hides pixels"
        )
    return expand(mask, grid_hw)
