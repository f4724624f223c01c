"""Which Python objects beside tensors may be read from a file, because they become plain data."""

from __future__ import annotations

import contextlib
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

# Whether PyTorch can name what a file needs; it then also takes stand-ins for names in files.
LISTS_GLOBALS = hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint')

_ARRAYS = (getattr(np, '_core', None) or np.core).multiarray


def _statistic(owner: Any, name: str) -> Any:
    """Stands in for ``getattr`` in files: MMEngine's curves look up their own statistics, and nothing else."""
    if owner is not HistoryBuffer or name not in ('mean', 'max', 'min', 'current'):
        raise pickle.UnpicklingError(f'GLOBAL getattr({owner!r}, {name!r})')
    return getattr(owner, name)


class _Settings:
    """Stands in for the settings (of yacs) that the authors' checkpoints hold: becomes a plain dictionary."""

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict()


# What checkpoints of MMEngine (curves of the log) and of the authors (settings) hold beside tensors: all of it data.
_SAFE = [
    HistoryBuffer,
    np.ndarray,
    np.dtype,
    (_ARRAYS._reconstruct, 'numpy._core.multiarray._reconstruct'),
    (_ARRAYS._reconstruct, 'numpy.core.multiarray._reconstruct'),
    (_ARRAYS.scalar, 'numpy._core.multiarray.scalar'),
    (_ARRAYS.scalar, 'numpy.core.multiarray.scalar'),
    (_statistic, 'builtins.getattr'),
    (_Settings, 'yacs.config.CfgNode'),
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint64, np.bool_)),
]


def foreign_objects(path: str) -> list[str]:
    """Names the Python objects in a file that are not read, without creating them.

    Args:
        path: A zip file that ``torch.save`` wrote.

    Returns:
        Their classes and functions; empty if there are none, or PyTorch cannot tell.
    """
    if not LISTS_GLOBALS:
        return []
    try:
        with plain_data():
            return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # of a damaged file
        return []


def plain_data() -> contextlib.AbstractContextManager:
    """Beside tensors, what :data:`_SAFE` lists may be read; nothing before PyTorch 2.6, which does not know aliases."""
    if not LISTS_GLOBALS:
        return contextlib.nullcontext()
    return torch.serialization.safe_globals(_SAFE)
