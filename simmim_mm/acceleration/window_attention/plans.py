"""How the work of the kernels is cut: block sizes, warps and the number of programs. Needs no Triton."""

from __future__ import annotations

import importlib.util
import os
from typing import NamedTuple

import torch

MOST_TOKENS = 256  # a row of scores of a window must fit into the registers of one program
MOST_WIDTH = 128  # of a head
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
LOWEST_CAPABILITY = (8, 0)  # bfloat16 and TF32 on tensor cores
ONE_BLOCK = 64  # up to so many tokens, one block holds a window's scores, and backward is one kernel
# Programs for each processor of a device: several at once hide each other's waits, and share a window's cache lines.
PROGRAMS_FORWARD = 16
PROGRAMS_BACKWARD = 8


class Plan(NamedTuple):
    """How one kernel is cut.

    Attributes:
        block_m: Queries of a program (keys, in the kernel of the columns).
        block_n: Keys of a program (queries, there): all of a window, padded to a power of two.
        block_d: Width of a head, padded to a power of two.
        num_warps: Warps of a program.
        num_stages: Depth of the pipeline of loads.
        programs: Programs for each processor of the device.
    """

    block_m: int
    block_n: int
    block_d: int
    num_warps: int
    num_stages: int
    programs: int


def plan_kernel(num_tokens: int, head_width: int, backward: bool) -> Plan:
    """The cut of a kernel.

    Args:
        num_tokens: Of a window.
        head_width: Channels of a head.
        backward: Whether it is one of the two kernels of the backward pass.

    Returns:
        The cut.
    """
    block_n = max(16, _power_of_two(num_tokens))
    block_d = max(16, _power_of_two(head_width))
    block_m = block_n if block_n <= ONE_BLOCK else 32
    num_warps = {16: 1, 32: 2, 64: 4, 128: 4, 256: 8}[block_n]
    return Plan(block_m, block_n, block_d, num_warps, 1, PROGRAMS_BACKWARD if backward else PROGRAMS_FORWARD)


def num_groups(plan: Plan, num_tokens: int, num_windows: int, num_heads: int, programs: int) -> int:
    """Between how many programs the windows of a batch are shared, for each head and block of queries.

    Args:
        plan: The cut.
        num_tokens: Of a window.
        num_windows: Of all images.
        num_heads: Heads.
        programs: That the device should have, all heads and blocks together.

    Returns:
        1 to ``num_windows``, such that all get the same number of windows, or one less.
    """
    blocks = num_heads * -(-num_tokens // plan.block_m)
    wanted = max(1, min(num_windows, programs // blocks))
    each = -(-num_windows // wanted)
    return -(-num_windows // each)


def refusal(num_tokens: int, head_width: int, dtype: torch.dtype) -> str | None:
    """Why the kernels cannot take such windows.

    Args:
        num_tokens: Of a window.
        head_width: Channels of a head.
        dtype: Of queries, keys and values.

    Returns:
        The reason, or None.
    """
    if num_tokens > MOST_TOKENS:
        return f'a window has {num_tokens} tokens, and {MOST_TOKENS} (16 x 16) are the most that it takes'
    if head_width > MOST_WIDTH:
        return f'a head has {head_width} channels, and {MOST_WIDTH} are the most that it takes'
    if dtype not in DTYPES:
        return f'queries, keys and values are {dtype}, and it takes float16, bfloat16 and float32'
    return None


def device_refusal(device: torch.device) -> str | None:
    """Why the kernels cannot run on a device.

    Args:
        device: Of the model.

    Returns:
        The reason, or None. None for a CPU too when Triton's interpreter is on.
    """
    if importlib.util.find_spec('triton') is None:
        return 'Triton is not installed (pip install triton)'
    if device.type == 'cpu' and is_interpreted():
        return None
    if device.type != 'cuda' or torch.version.hip is not None:
        return f'the model is on {device.type}, and it is for CUDA devices'
    capability = torch.cuda.get_device_capability(device)
    if capability < LOWEST_CAPABILITY:
        return f'the device has compute capability {capability[0]}.{capability[1]}, and it needs 8.0 (Ampere) or later'
    return None


def is_interpreted() -> bool:
    """Whether Triton's interpreter is on, which runs kernels on a CPU, slowly: for tests."""
    return os.environ.get('TRITON_INTERPRET', '0').lower() in ('1', 'true', 'on', 'yes', 'y')


def _power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number."""
    return 1 << (number - 1).bit_length()
