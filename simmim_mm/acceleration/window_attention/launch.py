"""Runs the Triton kernels of window attention on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simmim_mm.acceleration.window_attention.plans import (
    PROGRAMS,
    Plan,
    device_refusal,
    num_groups,
    plan_kernels,
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

    work = _Work.of(qkv, window, num_heads)
    qkv, bias = qkv.contiguous(), bias.contiguous()
    out = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
    scales = bias if logit_scale is None else logit_scale.contiguous()
    with _on(qkv.device):
        forward_kernel[(num_heads * work.num_blocks * work.num_windows,)](
            qkv,
            bias,
            scales,
            out,
            *_geometry(qkv, shift, scale),
            BLOCK_M=work.plan.block_m,
            BLOCK_N=work.plan.block_n,
            **_constants(qkv, window, shift, num_heads, logit_scale, work.plan),
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
    from simmim_mm.acceleration.window_attention.backward_bias import backward_bias_kernel
    from simmim_mm.acceleration.window_attention.backward_blocks import backward_keys_kernel, backward_queries_kernel
    from simmim_mm.acceleration.window_attention.backward_kernel import backward_kernel

    work = _Work.of(qkv, window, num_heads)
    grad, qkv, bias = grad.contiguous(), qkv.contiguous(), bias.contiguous()
    scales = bias if logit_scale is None else logit_scale.contiguous()
    inputs = (grad, qkv, bias, scales)
    geometry = _geometry(qkv, shift, scale)
    constants = _constants(qkv, window, shift, num_heads, logit_scale, work.plan)
    num_tokens, squares = window[0] * window[1], work.num_blocks**2
    groups = num_groups(work.num_windows, num_heads * squares, _programs(qkv.device))

    def workspace(*sizes: int) -> Tensor:
        return torch.empty(sizes, dtype=torch.float32, device=qkv.device)

    grad_qkv = torch.empty_like(qkv)
    bias_sums = workspace(groups, num_heads, num_tokens, num_tokens)
    scale_sums = workspace(groups * squares, num_heads)
    with _on(qkv.device):
        if work.plan.is_one_block:
            backward_kernel[(num_heads * groups,)](
                *inputs,
                grad_qkv,
                bias_sums,
                scale_sums,
                work.num_windows,
                groups,
                *geometry,
                BLOCK_N=work.plan.block_n,
                **constants,
            )
        else:
            totals, means = (workspace(work.num_windows, num_heads, num_tokens) for _ in range(2))
            blocks = dict(BLOCK_M=work.plan.block_m, BLOCK_N=work.plan.block_n, **constants)
            grid = (num_heads * work.num_blocks * work.num_windows,)
            backward_queries_kernel[grid](*inputs, grad_qkv, totals, means, *geometry, **blocks)
            backward_keys_kernel[grid](*inputs, grad_qkv, totals, means, *geometry, **blocks)
            backward_bias_kernel[(num_heads * squares * groups,)](
                *inputs,
                bias_sums,
                scale_sums,
                totals,
                means,
                work.num_windows,
                groups,
                *geometry,
                BLOCK_M=work.plan.block_m,
                **constants,
            )
    grad_scale = qkv.new_empty(0)
    if logit_scale is not None:
        grad_scale = scale_sums.sum(dim=0).to(logit_scale.dtype)
    return grad_qkv, bias_sums.sum(dim=0).to(bias.dtype), grad_scale


class _Work(NamedTuple):
    plan: Plan
    num_windows: int
    num_blocks: int

    @classmethod
    def of(cls, qkv: Tensor, window: Sequence[int], num_heads: int) -> _Work:
        num_tokens = window[0] * window[1]
        plan = plan_kernels(num_tokens, qkv.shape[3] // (3 * num_heads))
        return cls(plan, qkv.shape[:3].numel() // num_tokens, -(-num_tokens // plan.block_m))


def _check(qkv: Tensor, window: Sequence[int], num_heads: int) -> None:
    if qkv.device.type == 'cpu' and qkv.dtype == torch.bfloat16:
        raise ValueError("Triton's interpreter multiplies bfloat16 wrongly; test with float16 or float32")
    reason = device_refusal(qkv.device) or refusal(window[0] * window[1], qkv.shape[3] // (3 * num_heads), qkv.dtype)
    if reason is not None:
        raise ValueError(
            f"the Triton kernel of window attention cannot run: {reason}; use acceleration = dict(attention='auto')"
        )


def _geometry(qkv: Tensor, shift: Sequence[int], scale: float) -> tuple[int | float, ...]:
    return (*qkv.shape[1:3], *shift, scale)


def _constants(
    qkv: Tensor, window: Sequence[int], shift: Sequence[int], num_heads: int, logit_scale: Tensor | None, plan: Plan
) -> dict[str, Any]:
    return dict(
        HEADS=num_heads,
        HEAD_DIM=qkv.shape[3] // (3 * num_heads),
        WINDOW_H=window[0],
        WINDOW_W=window[1],
        BLOCK_D=plan.block_d,
        SHIFTED=any(shift),
        COSINE=logit_scale is not None,
        # In fp32: three products of TF32 have its precision and use the tensor cores; one where the user allowed TF32.
        PRECISION='tf32x3' if torch.get_float32_matmul_precision() == 'highest' else 'tf32',
        num_warps=plan.num_warps,
        num_stages=plan.num_stages,
    )


def _programs(device: torch.device) -> int:
    if device.type == 'cpu':
        return INTERPRETED_PROGRAMS
    return PROGRAMS * torch.cuda.get_device_properties(device).multi_processor_count


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, whatever its arguments are on."""
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()
