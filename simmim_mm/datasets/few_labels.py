"""A fixed part of a labelled data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from simmim_mm.datasets.fewer import warn_of_fewer, warn_of_small_classes
from simmim_mm.registry import DATASETS


@DATASETS.register_module()
class FewLabels:
    """The same few images of each class, whenever, wherever, and in however many processes.

    Which ones follows from seed, class and the order of the data set alone; those of a smaller share are among those of
    a larger one. A class keeps ``round(share * images)`` of its images, and at least one.

    Args:
        dataset: A classification data set of mmpretrain, or its config.
        share: Share of each class's images, above 0 and at most 1; this or ``per_class``.
        per_class: Number of images of each class; all if it has fewer, of which a warning tells the numbers.
        seed: Of the choice.

    Raises:
        ValueError: If not exactly one of share and number is given, if a value is out of range, or if the data set's
            images have no class.
    """

    def __init__(
        self, dataset: dict | BaseDataset, share: float | None = None, per_class: int | None = None, seed: int = 0
    ) -> None:
        self.dataset: BaseDataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if not callable(getattr(self.dataset, 'get_gt_labels', None)):
            raise ValueError(
                f'dataset of FewLabels is {type(self.dataset).__name__}, which is no classification data set of '
                'mmpretrain; use one, such as mmpretrain.ImageNet'
            )
        if (share is None) == (per_class is None):
            raise ValueError(f'FewLabels takes one of share={share!r} and per_class={per_class!r}')
        if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1):
            raise ValueError(f'share={share!r} of FewLabels must be a number above 0 and at most 1, such as 0.01')
        if per_class is not None and (isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1):
            raise ValueError(f'per_class={per_class!r} of FewLabels must be a whole number from 1')
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f'seed={seed!r} of FewLabels must be a whole number from 0')
        self.dataset.full_init()
        labels = self.dataset.get_gt_labels()
        warn_of_fewer(getattr(self.dataset, '_indices', None), len(labels), type(self.dataset).__name__)
        if per_class is not None:
            warn_of_small_classes(np.asarray(labels), per_class)
        self.indices = few_of_each(labels, share, per_class, seed)
        self.dataset.get_subset_(self.indices)

    @property
    def metainfo(self) -> dict:
        """Of the data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Done when built."""

    def get_data_info(self, index: int) -> dict:
        """What the data set knows of an image."""
        return self.dataset.get_data_info(index)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]


def few_of_each(labels: Sequence[int], share: float | None, per_class: int | None, seed: int) -> list[int]:
    """Chooses some indices of each class.

    Args:
        labels: Class of each image.
        share: See :class:`FewLabels`, also for the others.
        per_class: If ``share`` is None.
        seed: From 0.

    Returns:
        Indices, in ascending order.
    """
    classes = np.asarray(labels)
    chosen: list[int] = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = max(1, round(share * len(members))) if share is not None else per_class
        order = np.random.default_rng([seed, int(label)]).permutation(len(members))
        chosen += members[order[:count]].tolist()
    return sorted(chosen)
