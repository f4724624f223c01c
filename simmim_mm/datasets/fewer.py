"""A word where a data set has fewer images than were asked for."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from mmengine.logging import print_log


def warn_of_fewer(indices: Any, found: int, owner: str) -> None:
    """Says so where ``indices`` of a data set, as a number, asks for more images than there are.

    MMEngine takes the first ones, or with a negative number the last ones, and is content with fewer.

    Args:
        indices: As in the config; a list of positions, which MMEngine refuses where one is not there, is left to it.
        found: How many images the data set has with it.
        owner: What the data set is called, for the message.
    """
    if isinstance(indices, int) and not isinstance(indices, bool) and abs(indices) > found:
        _warn(
            f'indices={indices} of {owner} asks for {abs(indices)} images, and there are {found}: all of them are used'
        )


def warn_of_small_classes(labels: np.ndarray, per_class: int) -> None:
    """Says so where classes have fewer images than ``per_class`` of ``FewLabels`` asks for.

    Args:
        labels: (N,) class of each image that there is.
        per_class: How many of each class were asked for.
    """
    classes, counts = np.unique(labels, return_counts=True)
    small = counts < per_class
    if not small.any():
        return
    smallest = counts.argmin()
    _warn(
        f'per_class={per_class} of FewLabels asks for {per_class * len(classes)} images, and '
        f'{np.minimum(counts, per_class).sum()} are used: {small.sum()} of {len(classes)} classes have fewer than '
        f'{per_class}, the smallest, class {classes[smallest]}, has {counts[smallest]}. For as many of each class, use '
        f'per_class={counts[smallest]} or less'
    )


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
