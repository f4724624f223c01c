"""Settings of data loaders that PyTorch refuses late, and in its own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.config import Config

from simmim_mm.options import check_flag, check_whole, is_number


def check_loaders(cfg: Config, loaders: Iterable[str]) -> None:
    """Checks the numbers of data loaders before anything is built.

    Args:
        cfg: The config of a run.
        loaders: Which of its loaders are used, such as ``'train_dataloader'``.

    Raises:
        ValueError: If a setting is of a wrong kind or out of its range.
    """
    for name in loaders:
        loader = cfg.get(name)
        if isinstance(loader, dict):
            _check_loader(loader, name)


def _check_loader(loader: dict[str, Any], name: str) -> None:
    for key, smallest in (('batch_size', 1), ('num_workers', 0)):
        if key in loader:
            check_whole(loader[key], key, name, smallest)
    if loader.get('prefetch_factor') is not None:
        check_whole(loader['prefetch_factor'], 'prefetch_factor', name)
    for key in ('persistent_workers', 'pin_memory', 'drop_last'):
        if key in loader:
            check_flag(loader[key], key, name)
    seconds = loader.get('timeout', 0)
    if not is_number(seconds) or seconds < 0:
        raise ValueError(
            f'timeout={seconds!r} of {name} must be a number of seconds, without any batch, after which the run stops; '
            '0 waits for ever'
        )
