"""Looking into the host's data set wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import BaseDataset


def base_datasets(dataset: Any) -> Iterator[BaseDataset]:
    """The data sets with a pipeline of their own inside repeated, concatenated, balanced or sliced ones.

    Args:
        dataset: Any data set.

    Yields:
        Each ``BaseDataset`` in it.
    """
    if isinstance(dataset, BaseDataset):
        yield dataset
        return
    inner = getattr(dataset, 'dataset', getattr(dataset, '_dataset', None))
    for part in [inner, *getattr(dataset, 'datasets', [])]:
        if part is not None:
            yield from base_datasets(part)
