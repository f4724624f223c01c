"""Triton's language where it is installed. Elsewhere kernels import all the same, and nobody calls them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

_HAS_TRITON = importlib.util.find_spec('triton') is not None
tl: Any = importlib.import_module('triton.language') if _HAS_TRITON else None


def jit(function: Any) -> Any:
    """Makes a kernel of a function, or leaves it as it is."""
    return importlib.import_module('triton').jit(function) if _HAS_TRITON else function
