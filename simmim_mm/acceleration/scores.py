"""Attention with a learned bias, the way that is fastest on a device.

Shapes here: G groups of P biases each, N tokens, d channels of a head. For windows, P counts heads, or windows times
heads of a map where each window has a mask of its own; that order needs no mask per image.
"""

from __future__ import annotations

from collections.abc import Iterator
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


# Bytes of the weights of the attention that are computed at once: they stay in the cache, and threads, which wait for
# each other behind each operation, do so seldom.
CHUNK = 2**21


class _Attention(torch.autograd.Function):
    """Chunk by chunk; the weights of the attention are computed again for the gradient, not kept."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, wide: bool) -> Tensor:
        ctx.save_for_backward(query, key, value, bias)
        ctx.scale, ctx.wide = scale, wide
        result = value.new_empty(value.shape)
        with torch.autocast(query.device.type, enabled=False):
            for q, k, v, out in _chunks(bias, query, key, value, result):
                torch.bmm(_weights(q, k, bias, scale, wide), v, out=out)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, bias = ctx.saved_tensors
        gradients = [part.new_empty(part.shape) for part in (query, key, value)]
        grad_bias = torch.zeros_like(bias) if ctx.needs_input_grad[3] else None
        with torch.autocast(gradient.device.type, enabled=False):
            for q, k, v, grad, *outs in _chunks(bias, query, key, value, gradient, *gradients):
                weights = _weights(q, k, bias, ctx.scale, ctx.wide)
                torch.bmm(weights.mT, grad, out=outs[2])
                scores = torch._softmax_backward_data(torch.bmm(grad, v.mT), weights, -1, weights.dtype)
                if grad_bias is not None:
                    grad_bias += scores.unflatten(0, (-1, len(bias))).sum(0, dtype=bias.dtype)
                torch.bmm(scores, k, out=outs[0]).mul_(ctx.scale)
                torch.bmm(scores.mT, q, out=outs[1]).mul_(ctx.scale)
        return *gradients, grad_bias, None, None


def _chunks(bias: Tensor, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts (g P, N, d) of tensors (G, P, N, d); parts of contiguous tensors are views."""
    step = max(1, CHUNK // (bias.numel() * tensors[0].element_size()))
    for start in range(0, len(tensors[0]), step):
        yield tuple(tensor[start : start + step].flatten(0, 1) for tensor in tensors)


def _weights(query: Tensor, key: Tensor, bias: Tensor, scale: float, wide: bool) -> Tensor:
    """Of queries and keys (g P, N, d), with biases (P, N, N): (g P, N, N)."""
    groups = len(query) // len(bias)
    if wide and query.dtype != bias.dtype:
        scores = torch.bmm(query, key.mT).unflatten(0, (groups, -1))
        return torch.softmax(torch.add(bias, scores, alpha=scale), dim=-1).to(query.dtype).flatten(0, 1)
    start = bias.to(query.dtype).repeat(groups, 1, 1)
    return torch.softmax(start.baddbmm_(query, key.mT, alpha=scale), dim=-1)
