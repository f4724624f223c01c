"""Reading the outputs of backbones and of their stems, in all the forms that they have."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn


def last_map(outputs: Any, backbone: nn.Module) -> Tensor:
    """The last feature map of a backbone's outputs.

    Args:
        outputs: What the backbone returned.
        backbone: For the message.

    Returns:
        (B, D, h, w)

    Raises:
        ValueError: If the last output is no map.
    """
    features = outputs[-1] if isinstance(outputs, tuple | list) else outputs
    if not isinstance(features, Tensor) or features.ndim != 4:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(
            f'the last output of {type(backbone).__name__} is {shape}, not a feature map (B, D, h, w); '
            "set model.backbone so that it returns one, for example with out_type='featmap'"
        )
    return features


def first_tensor(output: Any) -> Tensor:
    """The tokens in a stem's output, which may be a tuple such as Swin's (tokens, (h, w))."""
    return output[0] if isinstance(output, tuple | list) else output


def token_grid(tokens: Tensor, image_hw: tuple[int, int]) -> tuple[int, int]:
    """The grid of a stem's tokens.

    Args:
        tokens: (B, D, h, w), or (B, N, D) with N square cells in row-major order.
        image_hw: (H, W) of the image that they come from.

    Returns:
        (h, w)

    Raises:
        ValueError: If N square cells do not tile the image.
    """
    if tokens.ndim == 4:
        return tokens.shape[2], tokens.shape[3]
    height, width = image_hw
    num_tokens = tokens.shape[1]
    side = math.isqrt(height * width // num_tokens)
    h, w = height // max(side, 1), width // max(side, 1)
    if h * w != num_tokens:
        raise ValueError(
            f'a stem that returns {num_tokens} tokens for an image of {height}x{width} does not tile it with squares'
        )
    return h, w
