"""Window attention and its gradients in plain PyTorch: what the kernels are tested against, and what runs on CPUs.

Letters: B images, H W rows and columns of tokens, n windows of an image, N tokens of a window, h heads, d width of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# What Swin adds to the scores of tokens that only the roll brought together. Not minus infinity: in the cosine
# attention of Swin V2, whose scores reach beyond 100, such a token keeps some weight, and published weights know it so.
SEPARATED = -100.0
SMALLEST_LENGTH = 1e-12  # of torch.nn.functional.normalize


def window_attention_forward(
    qkv: Tensor,
    bias: Tensor,
    logit_scale: Tensor | None,
    window: Sequence[int],
    shift: Sequence[int],
    num_heads: int,
    scale: float,
) -> Tensor:
    """Attention within windows of a map.

    Args:
        qkv: (B, H, W, 3 h d), see :func:`~simmim_mm.acceleration.window_attention.window_attention`, for all arguments.
        bias: (h, N, N).
        logit_scale: (h,) or None.
        window: Rows and columns of a window.
        shift: Rows and columns by which the map is rolled.
        num_heads: Heads.
        scale: Factor of the products where there is no logit scale.

    Returns:
        (B, H, W, h d), in the precision of ``qkv``. Computed in fp32, or in fp64 where ``qkv`` is.
    """
    with torch.autocast(qkv.device.type, enabled=False):
        parts = _attend(qkv, bias, logit_scale, window, shift, num_heads, scale)
        return _to_map(parts.weights @ parts.v, qkv, window, shift).to(qkv.dtype)


def window_attention_backward(
    grad: Tensor,
    qkv: Tensor,
    bias: Tensor,
    logit_scale: Tensor | None,
    window: Sequence[int],
    shift: Sequence[int],
    num_heads: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`window_attention_forward`, computed anew from its inputs.

    Args:
        grad: (B, H, W, h d), gradient of the result.
        qkv: See :func:`window_attention_forward`, for the others too.
        bias: (h, N, N).
        logit_scale: (h,) or None.
        window: Rows and columns of a window.
        shift: Rows and columns of the roll.
        num_heads: Heads.
        scale: Factor of the products.

    Returns:
        Gradients of ``qkv``, ``bias`` and ``logit_scale``, in their precision; the last is empty without such a scale.
    """
    with torch.autocast(qkv.device.type, enabled=False):
        parts = _attend(qkv, bias, logit_scale, window, shift, num_heads, scale)
        grad_out = _to_heads(grad.to(parts.v.dtype), window, shift, num_heads, 1)[0]
        grad_weights = grad_out @ parts.v.mT
        mean = (parts.weights * grad_weights).sum(dim=-1, keepdim=True)
        grad_scores = parts.weights * (grad_weights - mean)  # of the softmax
        grad_q = parts.factor * (grad_scores @ parts.k)
        grad_k = parts.factor * (grad_scores.mT @ parts.q)
        grad_scale = qkv.new_empty(0)
        if logit_scale is not None:
            grad_scale = (grad_scores * parts.products).sum(dim=(0, 1, 3, 4)).to(logit_scale.dtype)
            grad_q = _backward_of_unit(grad_q, parts.q, parts.q_length)
            grad_k = _backward_of_unit(grad_k, parts.k, parts.k_length)
        grad_v = parts.weights.mT @ grad_out
        grad_qkv = _to_map(torch.stack((grad_q, grad_k, grad_v)), qkv, window, shift).to(qkv.dtype)
        return grad_qkv, grad_scores.sum(dim=(0, 1)).to(bias.dtype), grad_scale


class _Parts(NamedTuple):
    """What forward and backward share: (B, n, h, N, d) and (B, n, h, N, N) each."""

    q: Tensor
    k: Tensor
    v: Tensor
    q_length: Tensor | None
    k_length: Tensor | None
    factor: Tensor | float
    products: Tensor
    weights: Tensor


def _attend(
    qkv: Tensor,
    bias: Tensor,
    logit_scale: Tensor | None,
    window: Sequence[int],
    shift: Sequence[int],
    num_heads: int,
    scale: float,
) -> _Parts:
    precision = torch.float64 if qkv.dtype == torch.float64 else torch.float32
    q, k, v = _to_heads(qkv.to(precision), window, shift, num_heads, 3)
    q_length = k_length = None
    factor: Tensor | float = scale
    if logit_scale is not None:
        q, q_length = _unit(q)
        k, k_length = _unit(k)
        factor = logit_scale.to(precision).view(-1, 1, 1)
    products = q @ k.mT
    scores = factor * products + bias.to(precision)
    if any(shift):
        scores = scores + separation(qkv.shape[1], qkv.shape[2], window, shift, qkv.device).unsqueeze(1).to(precision)
    return _Parts(q, k, v, q_length, k_length, factor, products, scores.softmax(dim=-1))


def separation(height: int, width: int, window: Sequence[int], shift: Sequence[int], device: torch.device) -> Tensor:
    """What is added to the scores of each window of a rolled map.

    Args:
        height: Rows of tokens.
        width: Columns of tokens.
        window: Rows and columns of a window.
        shift: Rows and columns of the roll.
        device: Where to make it.

    Returns:
        (n, N, N), 0 or :data:`SEPARATED`.
    """
    low = torch.arange(height, device=device) >= height - shift[0]
    right = torch.arange(width, device=device) >= width - shift[1]
    regions = 2 * low.int().unsqueeze(1) + right.int()
    regions = _partition(regions.view(1, height, width, 1), window)[0, :, :, 0]
    return SEPARATED * (regions.unsqueeze(1) != regions.unsqueeze(2))


def _partition(maps: Tensor, window: Sequence[int]) -> Tensor:
    """(B, H, W, C) -> (B, n, N, C)."""
    images, height, width, channels = maps.shape
    down, across = height // window[0], width // window[1]
    maps = maps.reshape(images, down, window[0], across, window[1], channels).transpose(2, 3)
    return maps.reshape(images, down * across, window[0] * window[1], channels)


def _to_heads(maps: Tensor, window: Sequence[int], shift: Sequence[int], num_heads: int, parts: int) -> Tensor:
    """(B, H, W, parts h d) -> (parts, B, n, h, N, d), rolled."""
    rolled = maps.roll((-shift[0], -shift[1]), dims=(1, 2)) if any(shift) else maps
    windows = _partition(rolled, window).unflatten(-1, (parts, num_heads, -1))
    return windows.permute(3, 0, 1, 4, 2, 5)


def _to_map(windows: Tensor, like: Tensor, window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """((parts,) B, n, h, N, d) -> (B, H, W, parts h d), rolled back: the way back of :func:`_to_heads`."""
    images, height, width = like.shape[:3]
    windows = windows if windows.dim() == 6 else windows.unsqueeze(0)
    tokens = windows.permute(1, 2, 4, 0, 3, 5).flatten(3)
    tokens = tokens.reshape(images, height // window[0], width // window[1], window[0], window[1], -1)
    maps = tokens.transpose(2, 3).reshape(images, height, width, -1)
    return maps.roll((shift[0], shift[1]), dims=(1, 2)) if any(shift) else maps


def _unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors at length 1, and their lengths."""
    length = vectors.norm(dim=-1, keepdim=True)
    return vectors / length.clamp_min(SMALLEST_LENGTH), length


def _backward_of_unit(grad: Tensor, unit: Tensor, length: Tensor | None) -> Tensor:
    """Gradient of vectors from that of their unit vectors."""
    assert length is not None
    along = (unit * grad).sum(dim=-1, keepdim=True) * (length >= SMALLEST_LENGTH)
    return (grad - unit * along) / length.clamp_min(SMALLEST_LENGTH)
