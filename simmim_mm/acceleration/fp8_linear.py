"""A linear layer that multiplies in FP8 while it is trained. Needs torchao."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchao.float8.float8_linear import Float8Linear

# The gradient of the weight is a product over rows, whose number the hardware wants to be a multiple of this.
ROWS = 16


class FP8Linear(Float8Linear):
    """torchao's layer, for any number of rows and any device; in evaluation it is PyTorch's ``Linear``."""

    def forward(self, x: Tensor) -> Tensor:
        """A linear layer of rounded values: (..., C) to (..., D), in the type that autocast says, or that of ``x``."""
        if not self.training:  # what is evaluated is what will be exported
            return F.linear(x, self.weight, self.bias)
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        rows = x.flatten(0, -2)
        missing = -len(rows) % ROWS
        if missing:  # rows of zeros change no scale and no gradient
            rows = F.pad(rows, (0, 0, 0, missing))
        with torch.autocast(device, enabled=False):
            out = super().forward(rows)
        return out[: len(out) - missing].unflatten(0, x.shape[:-1])


def use_fp8(linear: nn.Linear, config: Any) -> None:
    """Gives a linear layer the class and the settings of one in FP8, in place.

    The module stays the same object with the same parameters, hooks and keys.

    Args:
        linear: The layer.
        config: torchao's ``Float8LinearConfig``.
    """
    settings = vars(Float8Linear.from_float(linear, config=config))
    linear.__class__ = FP8Linear
    for name, value in settings.items():
        if name not in vars(linear):
            setattr(linear, name, value)
