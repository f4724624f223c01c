"""Runs the Triton kernels of window attention on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from simmim_mm.acceleration.window_attention.plans import (
    Plan,
    device_refusal,
    num_groups,
    plan_kernel,
    refusal,
)

INTERPRETED_PROGRAMS = 3  # so few that a program goes through several windows in small tests too


def launch_forward(
    qkv: Tensor,
    bias: Tensor,
    logit_scale: Tensor | None,
    window: Sequence[int],
    shift: Sequence[int],
    num_heads: int,
    scale: float,
) -> Tensor:
    """The Triton counterpart of ``reference.window_attention_forward``, with its arguments and result."""
    _check(qkv, window, num_heads)
    from simmim_mm.acceleration.window_attention.forward_kernel import forward_kernel

    qkv = _channels_last(qkv)
    images, height, width = qkv.shape[:3]
    out = qkv.new_empty(images, height, width, qkv.shape[3] // 3)
    num_tokens = window[0] * window[1]
    plan = plan_kernel(num_tokens, out.shape[3] // num_heads, backward=False)
    num_windows = images * height * width // num_tokens
    groups = num_groups(plan, num_tokens, num_windows, num_heads, _programs(plan, qkv.device))
    blocks = -(-num_tokens // plan.block_m)
    with _on(qkv.device):
        forward_kernel[(num_heads * blocks * groups,)](
            qkv,
            bias.contiguous(),
            bias if logit_scale is None else logit_scale.contiguous(),
            out,
            num_windows,
            groups,
            *_geometry(qkv, shift, scale),
            **_constants(qkv, window, shift, num_heads, logit_scale, plan),
        )
    return out


def launch_backward(
    grad: Tensor,
    qkv: Tensor,
    bias: Tensor,
    logit_scale: Tensor | None,
    window: Sequence[int],
    shift: Sequence[int],
    num_heads: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The Triton counterpart of ``reference.window_attention_backward``, with its arguments and results."""
    _check(qkv, window, num_heads)
    from simmim_mm.acceleration.window_attention.backward_kernels import backward_columns_kernel, backward_rows_kernel

    qkv, grad, bias = _channels_last(qkv), grad.contiguous(), bias.contiguous()
    images, height, width = qkv.shape[:3]
    num_tokens = window[0] * window[1]
    plan = plan_kernel(num_tokens, grad.shape[3] // num_heads, backward=True)
    num_windows = images * height * width // num_tokens
    groups = num_groups(plan, num_tokens, num_windows, num_heads, _programs(plan, qkv.device))
    blocks = -(-num_tokens // plan.block_m)

    def workspace(*sizes: int) -> Tensor:
        return torch.empty(sizes, dtype=torch.float32, device=qkv.device)

    grad_qkv = torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    bias_sums = workspace(groups, num_heads, num_tokens, num_tokens)
    scale_sums = workspace(groups, num_heads, blocks) if logit_scale is not None else workspace(0)
    log_totals, means = (workspace(num_windows, num_heads, num_tokens if blocks > 1 else 0) for _ in range(2))
    scales = bias if logit_scale is None else logit_scale.contiguous()
    geometry = _geometry(qkv, shift, scale)
    constants = _constants(qkv, window, shift, num_heads, logit_scale, plan)
    with _on(qkv.device):
        backward_rows_kernel[(num_heads * blocks * groups,)](
            grad,
            qkv,
            bias,
            scales,
            grad_qkv,
            bias_sums,
            scale_sums,
            log_totals,
            means,
            num_windows,
            groups,
            *geometry,
            **constants,
        )
        if blocks > 1:
            backward_columns_kernel[(num_heads * blocks * num_windows,)](
                grad, qkv, bias, scales, grad_qkv, log_totals, means, *geometry, **constants
            )
    grad_scale = qkv.new_empty(0)
    if logit_scale is not None:
        grad_scale = scale_sums.sum(dim=(0, 2)).to(logit_scale.dtype)
    return grad_qkv, bias_sums.sum(dim=0).to(bias.dtype), grad_scale


def _check(qkv: Tensor, window: Sequence[int], num_heads: int) -> None:
    if qkv.device.type == 'cpu' and qkv.dtype == torch.bfloat16:
        raise ValueError("Triton's interpreter multiplies bfloat16 wrongly; test with float16 or float32")
    reason = device_refusal(qkv.device) or refusal(window[0] * window[1], qkv.shape[3] // (3 * num_heads), qkv.dtype)
    if reason is not None:
        raise ValueError(
            f"the Triton kernel of window attention cannot run: {reason}; use acceleration = dict(attention='auto')"
        )


def _geometry(qkv: Tensor, shift: Sequence[int], scale: float) -> tuple[int | float, ...]:
    return (*qkv.shape[1:3], *qkv.stride()[:3], *shift, scale)


def _constants(
    qkv: Tensor, window: Sequence[int], shift: Sequence[int], num_heads: int, logit_scale: Tensor | None, plan: Plan
) -> dict[str, Any]:
    return dict(
        HEADS=num_heads,
        HEAD_DIM=qkv.shape[3] // (3 * num_heads),
        WINDOW_H=window[0],
        WINDOW_W=window[1],
        BLOCK_M=plan.block_m,
        BLOCK_N=plan.block_n,
        BLOCK_D=plan.block_d,
        SHIFTED=any(shift),
        COSINE=logit_scale is not None,
        # In fp32: three products of TF32 have its precision and use the tensor cores; one where the user allowed TF32.
        PRECISION='tf32x3' if torch.get_float32_matmul_precision() == 'highest' else 'tf32',
        num_warps=plan.num_warps,
        num_stages=plan.num_stages,
    )


def _channels_last(maps: Tensor) -> Tensor:
    return maps if maps.stride(3) == 1 else maps.contiguous()


def _programs(plan: Plan, device: torch.device) -> int:
    if device.type == 'cpu':
        return INTERPRETED_PROGRAMS
    return plan.programs * torch.cuda.get_device_properties(device).multi_processor_count


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, whatever its arguments are on."""
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()
