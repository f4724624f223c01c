"""Dropping tokens of plain vision transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.models.maskers.droppers.base import Dropper, put, take

# Attention for which a token is its features alone. Others may count on the place of a token in the sequence.
ATTENTIONS = ('MultiheadAttention', 'BEiTAttention')


class TransformerDropper(Dropper):
    """Drops hidden tokens before the first layer of a ``VisionTransformer`` or ``BEiTViT`` of mmpretrain.

    Absolute positions are in the tokens by then. Position biases that all layers share are taken for the pairs of
    visible tokens of each image.

    Args:
        backbone: The backbone.

    Raises:
        ValueError: If a layer has position biases of its own, or attention of another kind.
    """

    def __init__(self, backbone: Any) -> None:
        layers = list(backbone.layers)
        for layer in layers:
            _check_attention(layer.attn, type(backbone).__name__)
        super().__init__(backbone)
        self._num_extra = backbone.num_extra_tokens
        last = len(layers) - 1
        outputs = {index % len(layers) for index in backbone.out_indices}
        for number, layer in enumerate(layers):
            if number == 0 or number - 1 in outputs:
                layer.register_forward_pre_hook(self._drop)
            if number in outputs:
                normed = number == last and backbone.final_norm
                (backbone.ln1 if normed else layer).register_forward_hook(self._restore)
        biases = getattr(backbone, 'rel_pos_bias', None)
        if biases is not None:
            biases.register_forward_hook(self._select_biases)

    def _prepare(self, hidden: Tensor, tokens: Tensor) -> None:
        super()._prepare(hidden, tokens)
        assert self._positions is not None
        # Class tokens come first, and stay.
        extra = torch.arange(self._num_extra, device=tokens.device).expand(len(hidden), -1)
        self._positions = torch.cat([extra, self._positions + self._num_extra], dim=1)

    def _drop(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._positions is None:
            return None
        return take(args[0], self._positions), *args[1:]

    def _restore(self, module: nn.Module, args: tuple, tokens: Tensor) -> Tensor | None:
        if self._positions is None or self._task is None:
            return None
        num_tokens = self._num_extra + self._grid_hw[0] * self._grid_hw[1]
        return put(tokens, self._positions, num_tokens, self._task.token)

    def _select_biases(self, module: nn.Module, args: tuple, biases: Tensor) -> Tensor | None:
        """(heads, N, N) to (B, heads, n, n)."""
        if self._positions is None:
            return None
        rows, columns = self._positions[:, :, None], self._positions[:, None, :]
        return biases[:, rows, columns].transpose(0, 1)


def _check_attention(attention: nn.Module, name: str) -> None:
    if type(attention).__name__ not in ATTENTIONS:
        raise ValueError(
            f'VisibleMasker does not know whether {type(attention).__name__}, the attention of {name}, can do without '
            "some of the tokens; use masker=dict(type='TokenMasker')"
        )
    if getattr(attention, 'use_rel_pos_bias', False):
        raise ValueError(
            f'each layer of {name} has position biases of its own, for all tokens; VisibleMasker needs shared ones: '
            'set use_rel_pos_bias=False and use_shared_rel_pos_bias=True in model.backbone (mmpretrain spreads them '
            'over the layers when the weights are loaded for fine-tuning)'
        )
