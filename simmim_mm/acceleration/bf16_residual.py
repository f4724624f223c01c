"""The residual stream in bf16: less memory traffic between blocks, and another rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.acceleration.blocks import BLOCKS, blocks_of


def apply(model: nn.Module, value: Any) -> str:
    """Lets blocks take their input in bf16, and add to it in bf16.

    Under autocast, what blocks add is bf16 and what they add it to is fp32. Norms and softmax still compute in fp32
    where autocast lets them. Parameters, gradients and optimiser states stay fp32. This changes numbers: the sum over
    the blocks is rounded to 8 bits of mantissa after each.

    Args:
        model: A built model, changed in place.
        value: True.

    Returns:
        What was done.

    Raises:
        ValueError: If no block is known.
    """
    blocks = blocks_of(model)
    if not blocks:
        raise ValueError(
            f'acceleration.bf16_residual={value!r} finds no block in this model (known: {", ".join(BLOCKS)}); delete it'
        )
    for block in blocks:
        block.register_forward_pre_hook(_round_input)
        # Swin V2 adds what comes out of these norms, which is fp32.
        for cls in type(block).__mro__:
            for name in NORMS_BEFORE_SUMS.get(cls.__name__, ()):
                if hasattr(block, name):
                    getattr(block, name).register_forward_hook(_round_output)
    return f'{len(blocks)} blocks add to a stream of bf16 instead of fp32: losses differ from those of the plain run'


NORMS_BEFORE_SUMS = {'SwinBlockV2': ('norm1', 'norm2', 'norm3')}


def _round_input(block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Pre-hook of a block."""
    if not _in_bf16(args[0]):
        if block.training and torch.is_grad_enabled():
            raise ValueError(
                'acceleration.bf16_residual needs automatic mixed precision in bf16, which this step is not in; set '
                "optim_wrapper.precision='bf16', or delete bf16_residual"
            )
        return None
    return (args[0].to(torch.bfloat16), *args[1:])


def _round_output(norm: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
    """Hook of a norm whose output is added to the stream."""
    return output.to(torch.bfloat16) if _in_bf16(output) else None


def _in_bf16(tensor: Tensor) -> bool:
    kind = tensor.device.type
    return torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
