"""Lever ``cells``: which cells are hidden is read off the loader's mask, without waiting for the device.

The number of hidden cells is a shape, which the host has to know. The masks come from the host: counted there, before
they are copied, they need not be asked for again.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from simmim_mm.acceleration.swap import swap_classes
from simmim_mm.models.preprocessor import MASK_KEYS, MaskedImagePreprocessor


class HostMaskPreprocessor(MaskedImagePreprocessor):
    """The preprocessor, whose masks on the device know what they were copied from."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Moves and normalises one batch; see the base class."""
        masks = {key: data[key] for key in MASK_KEYS if isinstance(data.get(key), Tensor)}
        batch = super().forward(data, training)
        for key, mask in masks.items():
            if mask.device.type == 'cpu':
                batch[key].on_host = mask
        return batch


def apply(model: nn.Module, value: Any) -> str:
    """Changes the preprocessor."""
    if not swap_classes(model, {MaskedImagePreprocessor: HostMaskPreprocessor}):
        return 'does not apply: the model has no MaskedImagePreprocessor'
    return 'hidden cells are selected on the host, before the masks are copied'
