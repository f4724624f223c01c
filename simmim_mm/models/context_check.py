"""Whether a decoder looks further than one cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from simmim_mm.models.probe import BackboneLayout, evaluating


@torch.no_grad()
def check_decoder_looks_around(neck: nn.Module, masker: Any, layout: BackboneLayout, image_hw: tuple[int, int]) -> None:
    """Checks that what a decoder predicts in hidden cells follows from visible ones, where nothing else can tell.

    Not on the meta device, where nothing is computed.

    Args:
        neck: The decoder.
        masker: The masker. Only one that sets ``leaves_hidden_empty`` asks for such a decoder.
        layout: Of the backbone.
        image_hw: (H, W) of the images.

    Raises:
        ValueError: If hidden cells are predicted from themselves alone.
    """
    parameter = next(neck.parameters())
    h, w = image_hw[0] // layout.stride, image_hw[1] // layout.stride
    if not getattr(masker, 'leaves_hidden_empty', False) or parameter.is_meta or h * w == 1:
        return
    hidden = (torch.arange(h)[:, None] + torch.arange(w)).remainder(2).bool()[None].to(parameter.device)
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, layout.width, h, w, generator=generator).to(parameter).split(1)
    second = torch.where(hidden.unsqueeze(1), first, second)  # two maps that differ in visible cells
    with evaluating(neck):
        predictions = [neck(features, hidden) for features in (first, second)]
    scale = predictions[0].shape[-1] // w
    differs = (predictions[0] != predictions[1]).any(dim=1)
    if not differs.unflatten(-1, (w, scale)).unflatten(-3, (h, scale)).any(dim=-1).any(dim=-2)[hidden].all():
        raise ValueError(
            f'{type(masker).__name__} leaves nothing of the image in hidden cells, and {type(neck).__name__} predicts '
            'each cell from its own feature: it could learn nothing but a mean; use a decoder that looks at other '
            "cells, neck=dict(type='TransformerDecoder') or CrossAttentionDecoder, or masker=dict(type='TokenMasker')"
        )
