"""Lever ``allocator``: on a CPU, the memory of one step is kept for the next.

By default, glibc gives large blocks back to the system when they are freed, and the system fills each page of the next
one with zeros: some ten thousand times in a step. The setting is the process's.
"""

from __future__ import annotations

import ctypes
from typing import Any

from torch import nn

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def apply(model: nn.Module, value: Any) -> str:
    """Sets the allocator of this process."""
    if next(model.parameters()).device.type != 'cpu':
        return 'does not apply: devices other than CPUs have allocators of their own'
    try:
        mallopt = ctypes.CDLL('libc.so.6').mallopt
    except (OSError, AttributeError):
        return "does not apply: the C library is not glibc's"
    # No block has a mapping of its own, and free memory at the end of the heap is kept, up to the largest C int.
    done = mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    return 'freed memory is kept for the next step' if done else 'does not apply: glibc refuses the setting'
