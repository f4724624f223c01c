"""Window attention as an operator of PyTorch: a plain path on CPUs, Triton kernels on GPUs, gradients and compilation.

Letters: B images, H W rows and columns of tokens, N tokens of a window, h heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simmim_mm.acceleration.window_attention import launch, reference
from simmim_mm.acceleration.window_attention.plans import is_interpreted

_ARGUMENTS = 'Tensor qkv, Tensor bias, Tensor? logit_scale, int[] window, int[] shift, int num_heads, float scale'


def window_attention(
    qkv: Tensor,
    bias: Tensor,
    window: tuple[int, int],
    shift: tuple[int, int] = (0, 0),
    num_heads: int = 1,
    scale: float | None = None,
    logit_scale: Tensor | None = None,
) -> Tensor:
    """Attention within the windows of a map of tokens, shifted or not, as in Swin and Swin V2.

    The map stays as it lies: no roll, no partition into windows, no mask and no scores in memory, forward or backward.
    Products of half-precision tensors are summed in fp32; softmax and the sums of the gradients of ``bias`` and
    ``logit_scale`` are fp32.

    Args:
        qkv: (B, H, W, 3 h d), queries, keys and values of all heads, as a linear layer leaves them. H and W are
            multiples of the window's: a map that is not is padded before the linear layer, as the hosts do.
        bias: (h, N, N), added to the scores, row by row of a window; gets a gradient.
        window: Rows and columns of a window.
        shift: Rows and columns by which the map is rolled up and left, each below the window's. Tokens that only the
            roll brought together are kept apart as Swin does, by -100 on their scores.
        num_heads: Heads.
        scale: Factor of the products of queries and keys; None for 1 / sqrt(d).
        logit_scale: (h,), for the cosine attention of Swin V2: what multiplies the cosines of queries and keys of each
            head, so after ``clamp`` and ``exp``; gets a gradient.

    Returns:
        (B, H, W, h d), in the precision of ``qkv``.

    Raises:
        ValueError: If shapes do not fit together; on a GPU also for what the kernels cannot take: windows, heads and
            precisions of :func:`~simmim_mm.acceleration.window_attention.refusal`, devices of ``device_refusal``.
    """
    _check(qkv, bias, logit_scale, window, shift, num_heads)
    if logit_scale is not None and scale is not None:
        raise ValueError(f'scale={scale!r} has no meaning beside logit_scale; give one of them')
    if scale is None:
        scale = (qkv.shape[3] // (3 * num_heads)) ** -0.5
    return _forward(qkv, bias, logit_scale, list(window), list(shift), num_heads, float(scale))


def _check(
    qkv: Tensor, bias: Tensor, logit_scale: Tensor | None, window: Sequence[int], shift: Sequence[int], num_heads: int
) -> None:
    if qkv.dim() != 4 or qkv.shape[3] % (3 * num_heads):
        raise ValueError(
            f'qkv of shape {tuple(qkv.shape)} must be (images, rows, columns, 3 x {num_heads} heads x width)'
        )
    for size, of_window, of_shift, name in zip(qkv.shape[1:3], window, shift, ('rows', 'columns'), strict=True):
        if size % of_window:
            raise ValueError(
                f'a map of {size} {name} does not tile by windows of {of_window}; '
                'pad it before the layer that makes qkv'
            )
        if not 0 <= of_shift < of_window:
            raise ValueError(f'shift={of_shift} of the {name} must be from 0 to {of_window - 1}, below the window')
    num_tokens = window[0] * window[1]
    if tuple(bias.shape) != (num_heads, num_tokens, num_tokens):
        raise ValueError(f'bias of shape {tuple(bias.shape)} must be {(num_heads, num_tokens, num_tokens)}')
    if logit_scale is not None and tuple(logit_scale.shape) != (num_heads,):
        raise ValueError(f'logit_scale of shape {tuple(logit_scale.shape)} must be {(num_heads,)}')


def _forward_on_cpu(*arguments: Any) -> Tensor:
    run = launch.launch_forward if is_interpreted() else reference.window_attention_forward
    return run(*arguments)


def _backward_on_cpu(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    run = launch.launch_backward if is_interpreted() else reference.window_attention_backward
    return run(*arguments)


_forward = torch.library.custom_op(
    'simmim_mm::window_attention',
    _forward_on_cpu,
    mutates_args=(),
    device_types='cpu',
    schema=f'({_ARGUMENTS}) -> Tensor',
)
_backward = torch.library.custom_op(
    'simmim_mm::window_attention_backward',
    _backward_on_cpu,
    mutates_args=(),
    device_types='cpu',
    schema=f'(Tensor grad, {_ARGUMENTS}) -> (Tensor, Tensor, Tensor)',
)
_forward.register_kernel('cuda')(launch.launch_forward)
_backward.register_kernel('cuda')(launch.launch_backward)


@_forward.register_fake
def _shape_of_forward(qkv: Tensor, *_: Any) -> Tensor:
    return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)


@_backward.register_fake
def _shapes_of_backward(
    grad: Tensor, qkv: Tensor, bias: Tensor, logit_scale: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    grad_scale = qkv.new_empty(0) if logit_scale is None else logit_scale.new_empty(logit_scale.shape)
    return qkv.new_empty(qkv.shape), bias.new_empty(bias.shape), grad_scale


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    qkv, bias, logit_scale, *ctx.settings = inputs
    ctx.save_for_backward(qkv, bias, logit_scale)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    qkv, bias, logit_scale = ctx.saved_tensors
    grad_qkv, grad_bias, grad_scale = _backward(grad, qkv, bias, logit_scale, *ctx.settings)
    return grad_qkv, grad_bias, None if logit_scale is None else grad_scale, None, None, None, None


_forward.register_autograd(_gradients, setup_context=_keep)
