"""Attention with a learned bias, the way that is fastest on a device.

Shapes here: G groups of P biases each, N tokens, d channels of a head. For windows, P counts heads, or windows times
heads of a map where each window has a mask of its own; that order needs no mask per image.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

METHODS = ('auto', 'sdpa', 'matmul')


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, method: str, wide: bool) -> Tensor:
    """``softmax(scale * query @ key.T + bias) @ value``, with gradients for all four.

    Args:
        query: (G, P, N, d)
        key: (G, P, N, d)
        value: (G, P, N, d)
        bias: (P, N, N), in any floating type.
        scale: Of the scores before the bias.
        method: ``'sdpa'`` for PyTorch's fused attention, ``'matmul'`` for two batched products with a gradient of its
            own, ``'auto'`` for what is faster on the device. CPUs have no fused kernel for a bias with a gradient.
        wide: Whether scores and bias are added in fp32 whatever the type of the queries, where the method can.

    Returns:
        (G, P, N, d)
    """
    if method == 'sdpa' or (method == 'auto' and query.device.type != 'cpu'):
        return F.scaled_dot_product_attention(query, key, value, bias.to(query.dtype).unsqueeze(0), scale=scale)
    if torch.compiler.is_compiling():
        weights = torch.softmax((query @ key.mT) * scale + bias, dim=-1)
        return weights.to(value.dtype) @ value
    return _Attention.apply(query, key, value, bias, scale, wide)


class _Attention(torch.autograd.Function):
    """Keeps the weights of the attention for the gradient, and nothing else that has their size."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, wide: bool) -> Tensor:
        groups, biases, tokens, _ = query.shape
        q, k, v = (part.flatten(0, 1) for part in (query, key, value))
        with torch.autocast(query.device.type, enabled=False):
            if wide and q.dtype != bias.dtype:
                scores = torch.bmm(q, k.mT).unflatten(0, (groups, biases))
                weights = torch.softmax(torch.add(bias, scores, alpha=scale), dim=-1).to(v.dtype).flatten(0, 1)
            else:
                start = bias.to(q.dtype).expand(groups, -1, -1, -1).reshape(-1, tokens, tokens)
                weights = torch.softmax(torch.baddbmm(start, q, k.mT, alpha=scale), dim=-1)
            ctx.save_for_backward(q, k, v, weights)
            ctx.scale, ctx.shape, ctx.bias_dtype = scale, query.shape, bias.dtype
            return torch.bmm(weights, v).view(value.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        grad = gradient.flatten(0, 1)
        with torch.autocast(gradient.device.type, enabled=False):
            grad_v = torch.bmm(weights.mT, grad)
            scores = torch._softmax_backward_data(torch.bmm(grad, v.mT), weights, -1, weights.dtype)
            grad_bias = None
            if ctx.needs_input_grad[3]:
                grad_bias = scores.unflatten(0, ctx.shape[:2]).sum(0, dtype=ctx.bias_dtype)
            grad_q = torch.bmm(scores, k).mul_(ctx.scale)
            grad_k = torch.bmm(scores.mT, q).mul_(ctx.scale)
        return grad_q.view(ctx.shape), grad_k.view(ctx.shape), grad_v.view(gradient.shape), grad_bias, None, None
