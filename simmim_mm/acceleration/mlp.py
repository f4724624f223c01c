"""Lever ``mlp``: the GELU of MLPs is computed once more for the gradient, not kept.

It is as wide as what it is made of, which has to be kept for its own gradient: of an MLP's two wide maps, one is
enough.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import Linear as MMCVLinear
from mmcv.cnn.bricks.transformer import FFN
from mmpretrain.models.backbones.convnext import ConvNeXtBlock
from torch import Tensor, nn

from simmim_mm.acceleration.swap import swap_classes


class _GeluLinear(torch.autograd.Function):
    """A linear layer of the GELU of its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, approximate: str) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.approximate = approximate
        return F.linear(F.gelu(x, approximate=approximate), weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[1]:
            grad_weight = rows.t() @ F.gelu(x, approximate=ctx.approximate).flatten(0, -2)
        if ctx.needs_input_grad[2]:
            grad_bias = rows.sum(0)
        if ctx.needs_input_grad[0]:
            grad_x = torch.ops.aten.gelu_backward(gradient @ weight, x, approximate=ctx.approximate)
        return grad_x, grad_weight, grad_bias, None


def gelu_linear(x: Tensor, linear: nn.Linear, approximate: str = 'none') -> Tensor:
    """``linear(gelu(x))``.

    Args:
        x: (..., C), as a layer under autocast returns it where there is one.
        linear: The layer.
        approximate: As of ``torch.nn.functional.gelu``.

    Returns:
        (..., D)
    """
    if torch.compiler.is_compiling():  # which decides itself what to compute again
        return linear(F.gelu(x, approximate=approximate))
    bias = None if linear.bias is None else linear.bias.to(x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        return _GeluLinear.apply(x, linear.weight.to(x.dtype), bias, approximate)


class LeanFFN(FFN):
    """mmcv's ``FFN`` of two layers, with the same result."""

    def forward(self, x: Tensor, identity: Tensor | None = None) -> Tensor:
        """Two layers: (..., C) to (..., C), with what is added to the result."""
        (first, activation, _), second, _ = self.layers
        out = self.gamma2(gelu_linear(first(x), second, activation.approximate))
        if not self.add_identity:
            return self.dropout_layer(out)
        return (x if identity is None else identity) + self.dropout_layer(out)


class LeanConvNeXtBlock(ConvNeXtBlock):
    """mmpretrain's ``ConvNeXtBlock`` with linear layers and without GRN, with the same result."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        tokens = self.norm(self.depthwise_conv(x).permute(0, 2, 3, 1), data_format='channel_last')
        tokens = gelu_linear(self.pointwise_conv1(tokens), self.pointwise_conv2, self.act.approximate)
        if self.gamma is not None:
            tokens = tokens * self.gamma
        return x + self.drop_path(tokens.permute(0, 3, 1, 2))


def _fits(module: Any) -> bool:
    if isinstance(module, FFN):
        dropouts = [layer.p for layer in module.modules() if type(layer) is nn.Dropout]
        two = module.num_fcs == 2 and type(module.layers[0][1]) is nn.GELU and not any(dropouts)
        return two and _is_plain(module.layers[1])
    plain = module.linear_pw_conv and module.grn is None and not module.with_cp
    return plain and type(module.act) is nn.GELU and _is_plain(module.pointwise_conv2)


def _is_plain(linear: nn.Module) -> bool:
    """Whether a layer computes nothing but a linear layer, which the lever ``fp8`` changes."""
    return type(linear) in (nn.Linear, MMCVLinear)


def apply(model: nn.Module, value: Any) -> str:
    """Changes the MLPs of Swin, ViT and ConvNeXt."""
    number = swap_classes(model, {FFN: LeanFFN, ConvNeXtBlock: LeanConvNeXtBlock}, _fits)
    return (
        f'{number} MLPs keep one wide map'
        if number
        else 'does not apply: no MLP with a GELU, plain layers and no dropout'
    )
