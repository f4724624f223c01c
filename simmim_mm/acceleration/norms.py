"""Lever ``norms``: the layer norms before linear layers are computed once more for the gradient, not kept.

The gradient of a linear layer needs its input. Where that is a layer norm, it follows from the norm's own input, which
is kept anyway. In Swin, the first norm of a block takes the levers ``windows`` and ``attention`` too: the host's own
windows copy it before the linear layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import Linear as MMCVLinear
from mmpretrain.models.utils.norm import LayerNorm2d
from torch import Tensor, nn

# Class name of a block, or of one that it inherits from -> pairs of a norm and the linear layer that alone reads it.
PAIRS = {
    'SwinBlock': (('norm1', 'attn.w_msa.qkv'), ('norm2', 'ffn.layers.0.0')),
    'TransformerEncoderLayer': (('ln1', 'attn.qkv'), ('ln2', 'ffn.layers.0.0')),  # ViT and BEiT
    'ConvNeXtBlock': (('norm', 'pointwise_conv1'),),
}


class Source(NamedTuple):
    """What a layer norm was made of: the arguments of ``torch.nn.functional.layer_norm``."""

    x: Tensor
    shape: tuple[int, ...]
    weight: Tensor | None
    bias: Tensor | None
    eps: float


class _NormedLinear(torch.autograd.Function):
    """A linear layer that keeps the input of the norm before it in place of its own."""

    @staticmethod
    def forward(ctx: Any, normed: Tensor, weight: Tensor, bias: Tensor | None, source: Source) -> Tensor:
        ctx.save_for_backward(source.x, source.weight, source.bias, weight)
        ctx.settings, ctx.dtype = (source.shape, source.eps), normed.dtype
        return F.linear(normed.to(weight.dtype), weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, norm_weight, norm_bias, weight = ctx.saved_tensors
        grad_normed = grad_weight = grad_bias = None
        rows = gradient.flatten(0, -2)
        if ctx.needs_input_grad[0]:
            grad_normed = (gradient @ weight).to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            shape, eps = ctx.settings
            normed = F.layer_norm(x.to(ctx.dtype), shape, norm_weight, norm_bias, eps).to(weight.dtype)
            grad_weight = rows.t() @ normed.flatten(0, -2)
        if ctx.needs_input_grad[2]:
            grad_bias = rows.sum(0)
        return grad_normed, grad_weight, grad_bias, None


def normed_linear(normed: Tensor, weight: Tensor, bias: Tensor | None, source: Source) -> Tensor:
    """A linear layer of a layer norm.

    Args:
        normed: (..., C), what the norm returned.
        weight: (D, C), of the linear layer.
        bias: (D,), likewise.
        source: What the norm was made of.

    Returns:
        (..., D)
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return F.linear(normed, weight, bias)
    device = normed.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else normed.dtype
    with torch.autocast(device, enabled=False):
        bias = None if bias is None else bias.to(dtype)
        return _NormedLinear.apply(normed, weight.to(dtype), bias, source._replace(x=source.x.detach()))


def _remember(norm: nn.LayerNorm, x: Tensor, normed: Tensor) -> Tensor:
    if not torch.compiler.is_compiling():  # which decides itself what to compute again
        source = Source(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        normed.made_of = source  # type: ignore[attr-defined]
    return normed


class RememberingNorm(nn.LayerNorm):
    """PyTorch's ``LayerNorm``, whose result knows what it was made of, for the very next layer."""

    def forward(self, x: Tensor) -> Tensor:
        """The host's result."""
        return _remember(self, x, super().forward(x))


class RememberingNorm2d(LayerNorm2d):
    """mmpretrain's ``LayerNorm2d``, likewise."""

    def forward(self, x: Tensor, data_format: str = 'channel_first') -> Tensor:
        """The host's result. ConvNeXt has linear layers where channels are last."""
        normed = super().forward(x, data_format=data_format)
        return _remember(self, x, normed) if data_format == 'channel_last' else normed


class RecallingLinear(nn.Linear):
    """PyTorch's ``Linear``, which keeps the source of its input in place of it."""

    def forward(self, x: Tensor) -> Tensor:
        """The host's result."""
        source = getattr(x, 'made_of', None)
        return super().forward(x) if source is None else normed_linear(x, self.weight, self.bias, source)


class RecallingMMCVLinear(MMCVLinear):
    """mmcv's ``Linear``, likewise."""

    def forward(self, x: Tensor) -> Tensor:
        """The host's result."""
        source = getattr(x, 'made_of', None)
        return super().forward(x) if source is None else normed_linear(x, self.weight, self.bias, source)


NORMS: dict[type, type] = {nn.LayerNorm: RememberingNorm, LayerNorm2d: RememberingNorm2d}
LINEARS: dict[type, type] = {nn.Linear: RecallingLinear, MMCVLinear: RecallingMMCVLinear}


def apply(model: nn.Module, value: Any) -> str:
    """Changes norms and linear layers of Swin, ViT, BEiT and ConvNeXt."""
    number = 0
    for block in list(model.modules()):
        pairs = next((PAIRS[cls.__name__] for cls in type(block).__mro__ if cls.__name__ in PAIRS), ())
        for norm_path, linear_path in pairs:
            try:
                norm, linear = block.get_submodule(norm_path), block.get_submodule(linear_path)
            except AttributeError:  # another kind of MLP
                continue
            if type(norm) in NORMS and type(linear) in LINEARS:
                norm.__class__, linear.__class__ = NORMS[type(norm)], LINEARS[type(linear)]
                number += 1
    return (
        f'{number} norms before linear layers'
        if number
        else 'does not apply: no norm that only a plain linear layer reads'
    )
