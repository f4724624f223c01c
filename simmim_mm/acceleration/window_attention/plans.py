"""How the work of the kernels is cut: block sizes, warps and the number of programs. Needs no Triton."""

from __future__ import annotations

import importlib.util
import os
from typing import NamedTuple

import torch

ONE_BLOCK = 64  # up to so many tokens, one block holds a window's scores, and backward is one kernel
MOST_TOKENS = 256  # beyond, nothing was tested
MOST_WIDTH = 128  # of a head
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
LOWEST_CAPABILITY = (8, 0)  # bfloat16 and TF32 on tensor cores
# Programs for each processor of a device, of kernels that sum over windows: several at once hide each other's waits.
PROGRAMS = 8


class Plan(NamedTuple):
    """How the work on windows of one size is cut.

    Attributes:
        block_m: Tokens of a window that a program works on.
        block_n: Tokens that it goes through, at a time.
        block_d: Width of a head, padded to a power of two.
        num_warps: Warps of a program.
        num_stages: Depth of the pipeline of loads in loops.
    """

    block_m: int
    block_n: int
    block_d: int
    num_warps: int
    num_stages: int

    @property
    def is_one_block(self) -> bool:
        """Whether a window is one block."""
        return self.block_m == self.block_n


def plan_kernels(num_tokens: int, head_width: int) -> Plan:
    """Cuts the work.

    Args:
        num_tokens: Of a window.
        head_width: Channels of a head.

    Returns:
        The cut.
    """
    block_d = max(16, _power_of_two(head_width))
    if num_tokens > ONE_BLOCK:
        return Plan(ONE_BLOCK, 32, block_d, num_warps=4, num_stages=2)
    block = max(16, _power_of_two(num_tokens))
    return Plan(block, block, block_d, num_warps=block // 16, num_stages=2)


def num_groups(num_windows: int, num_sums: int, programs: int) -> int:
    """Between how many programs the windows of a batch are shared where they are summed over.

    Args:
        num_windows: Of all images.
        num_sums: Heads, times blocks of the bias.
        programs: That the device should have altogether.

    Returns:
        1 to ``num_windows``, such that the fullest program has no more windows than it must.
    """
    wanted = max(1, min(num_windows, programs // num_sums))
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
