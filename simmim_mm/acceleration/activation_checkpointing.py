"""Less memory for more time: activations inside blocks are computed again in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from simmim_mm.acceleration.blocks import BLOCKS, blocks_of
from simmim_mm.options import is_whole


def check(value: Any) -> None:
    """Checks the value of the lever.

    Args:
        value: True for every block, or a whole number n from 1 for every n-th one.

    Raises:
        ValueError: If it is something else.
    """
    if value is not True and (not is_whole(value) or value < 1):
        raise ValueError(
            f'acceleration.activation_checkpointing={value!r} must be True, or a whole number n from 1 for every n-th '
            'block'
        )


def apply(model: nn.Module, value: Any) -> str:
    """Keeps the inputs of blocks alone for the backward pass, which then computes what is inside them again.

    Loss and gradients are those of the plain run exactly: dropout and drop path draw the same again. A step with every
    block takes about a forward pass of them longer.

    Args:
        model: A built model, changed in place.
        value: See :func:`check`.

    Returns:
        What was done.

    Raises:
        ValueError: If no block is known, or blocks cannot be computed twice.
    """
    check(value)
    blocks = blocks_of(model)
    if not blocks:
        raise ValueError(
            f'acceleration.activation_checkpointing={value!r} finds no block in this model (known: '
            f'{", ".join(BLOCKS)}); delete it'
        )
    chosen = blocks[:: int(value)]
    for block in chosen:
        _check_block(block)
    for block in chosen:
        block.__class__ = _checkpointed(type(block))
    return f'{len(chosen)} of {len(blocks)} blocks are computed again in the backward pass'


class Checkpointed(nn.Module):
    """Mixin for a block whose inside is computed again in the backward pass. Hooks run once, outside."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the block's own, with as little kept as possible."""
        if not torch.is_grad_enabled():
            return super().forward(*args, **kwargs)
        return checkpoint(super().forward, *args, use_reentrant=False, **kwargs)


# Class of the host -> the same with the mixin.
_CLASSES: dict[type, type] = {}


def _checkpointed(cls: type[nn.Module]) -> type[nn.Module]:
    """The class of a block with the mixin before it: names of parameters stay, as they would not with a wrapper."""
    if cls not in _CLASSES:
        _CLASSES[cls] = type(f'Checkpointed{cls.__name__}', (Checkpointed, cls), {'__module__': __name__})
    return _CLASSES[cls]


def _check_block(block: nn.Module) -> None:
    name = type(block).__name__
    if getattr(block, 'with_cp', False):
        raise ValueError(
            f'with_cp=True lets {name} compute itself twice already; delete with_cp from model.backbone, or '
            'acceleration.activation_checkpointing'
        )
    if any(isinstance(module, _BatchNorm) for module in block.modules()):
        raise ValueError(
            f'{name} has BatchNorm, whose running statistics would move twice a step; delete '
            'acceleration.activation_checkpointing'
        )
    if 'forward' in vars(block):
        raise ValueError(
            f'the forward pass of {name} was replaced, so it cannot be checkpointed; switch the lever that did it off'
        )
