"""What a machine reaches in matrix products, the ceiling of what a network can reach there."""

from __future__ import annotations

import time

import torch

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def matmul_peak(device: str, precision: str, side: int | None = None, seconds: float = 1.0) -> float:
    """Measures square matrix products.

    Args:
        device: ``'cpu'`` or ``'cuda'``.
        precision: ``'fp32'`` (on CUDA with TF32 only if PyTorch is set so), ``'bf16'`` or ``'fp16'``.
        side: Of the matrices; by default 2048 on CPUs, 8192 on CUDA.
        seconds: How long it is tried; the best product counts.

    Returns:
        Operations a second; one multiplication and one addition are two.
    """
    side = side or (8192 if device == 'cuda' else 2048)
    first, second = (torch.randn(side, side, device=device, dtype=DTYPES[precision]) for _ in range(2))
    best, begin = float('inf'), time.perf_counter()
    torch.mm(first, second)
    while best == float('inf') or time.perf_counter() - begin < seconds:
        if device == 'cuda':
            torch.cuda.synchronize()
        start = time.perf_counter()
        torch.mm(first, second)
        if device == 'cuda':
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best
