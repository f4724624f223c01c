"""Images whose classes are known, to look at features with: a folder of class folders, or a host's data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simmim_mm.datasets.few_labels import FewLabels
from simmim_mm.datasets.fewer import warn_of_fewer
from simmim_mm.datasets.file_names import is_held_out, relative_name
from simmim_mm.datasets.host_images import build_host_set
from simmim_mm.datasets.image_files import find_images, folder_given_as
from simmim_mm.registry import DATASETS


class ClassLabels(NamedTuple):
    """Images and their classes.

    Attributes:
        sample_of: What is known of the image at a position: ``img_path`` or ``img``.
        names: Of each image, whatever the folder above is.
        classes: Of each image, a string.
    """

    sample_of: Callable[[int], dict]
    names: Sequence[str]
    classes: Sequence[str]


def class_labels(source: str | Mapping[str, Any], option: str) -> ClassLabels:
    """Finds images and their classes.

    Args:
        source: A folder with a folder for each class; or the config of a host's data set, such as
            ``dict(type='mmpretrain.CIFAR10', data_root=..., split='train')``, or of ``FewLabels`` around one.
        option: What it was given as, for messages.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If there are not at least two classes.
    """
    found = _of_folder(source, option) if isinstance(source, str) else _of_host_set(source, option)
    if len(set(found.classes)) < 2:
        raise ValueError(
            f'{option}={source!r} has {len(set(found.classes))} class, and a classifier needs two at least; name a '
            'folder with a folder of images for each class'
        )
    return found


def _of_folder(root: str, option: str) -> ClassLabels:
    advice = f'name a folder with a folder of images for each class with {option} of RepresentationHook'
    with folder_given_as(root, option, 'RepresentationHook', advice):
        paths = find_images(root)
    names = [relative_name(path, root) for path in paths]
    loose = [name for name in names if '/' not in name]
    if loose:
        raise ValueError(
            f'{option}={root!r} has {len(loose)} images without class, the first being {loose[0]!r}; put each into the '
            'folder of its class, or name a folder of class folders'
        )
    return ClassLabels(lambda position: {'img_path': paths[position]}, names, [name.split('/')[0] for name in names])


def _of_host_set(cfg: Mapping[str, Any], option: str) -> ClassLabels:
    kind = DATASETS.get(cfg['type']) if isinstance(cfg, Mapping) and isinstance(cfg.get('type'), str) else None
    dataset = DATASETS.build(dict(cfg)) if kind is FewLabels else build_host_set(cfg, option)
    if kind is not FewLabels:
        warn_of_fewer(cfg.get('indices'), len(dataset), f'{option}={cfg["type"]}')
    root = str(dict(cfg.get('dataset', cfg)).get('data_root') or '')
    names, classes = [], []
    for position in range(len(dataset)):
        info = dataset.get_data_info(position)
        label = np.asarray(info.get('gt_label', ()))
        if label.size != 1:
            raise ValueError(f'{option}={dict(cfg)!r} has images with {label.size} labels; exactly one each is needed')
        names.append(relative_name(info['img_path'], root) if 'img_path' in info else str(position))
        classes.append(str(label.item()))
    return ClassLabels(dataset.get_data_info, names, classes)


class LabelledPart(NamedTuple):
    """Some images of one source, and their classes as numbers.

    Attributes:
        sample_of: See :class:`ClassLabels`.
        positions: (N,) int64, which images.
        labels: (N,) int64, from 0.
    """

    sample_of: Callable[[int], dict]
    positions: np.ndarray
    labels: np.ndarray


def bank_and_queries(
    labelled: str | Mapping[str, Any], queries: str | Mapping[str, Any] | None, max_images: int, share: float = 0.2
) -> tuple[LabelledPart, LabelledPart]:
    """Images to learn classes from, and others to test on.

    Args:
        labelled: See :func:`class_labels`.
        queries: Likewise; None for a part of ``labelled``, chosen by the names of the files, which those that come or
            go do not change.
        max_images: Most images of each part, spread evenly over it (and so over its classes, in the order of names).
        share: About which part of ``labelled`` are queries, where none are given.

    Returns:
        The two parts. Their labels mean the same.

    Raises:
        ValueError: If a part is empty, or a class of the queries is unknown.
    """
    known = class_labels(labelled, 'labelled')
    numbers = {name: number for number, name in enumerate(sorted(set(known.classes)))}
    everything = np.arange(len(known.classes))
    if queries is None:
        asked = known
        held_out = np.array([is_held_out(name, share) for name in known.names])
        bank_rows, query_rows = everything[~held_out], everything[held_out]
        if not len(query_rows) or not len(bank_rows):
            raise ValueError(
                f'labelled={labelled!r} has {len(everything)} images, too few to test on a part of them; add images, '
                'or name others with queries'
            )
    else:
        asked = class_labels(queries, 'queries')
        unknown = sorted(set(asked.classes) - numbers.keys())
        if unknown:
            raise ValueError(
                f'queries={queries!r} has classes that labelled={labelled!r} does not have: {", ".join(unknown[:5])}; '
                'give class folders the same names in both'
            )
        bank_rows, query_rows = everything, np.arange(len(asked.classes))

    def part(source: ClassLabels, rows: np.ndarray) -> LabelledPart:
        rows = spread_evenly(rows, max_images)
        return LabelledPart(source.sample_of, rows, np.array([numbers[source.classes[row]] for row in rows], np.int64))

    return part(known, bank_rows), part(asked, query_rows)


def spread_evenly(rows: np.ndarray, number: int) -> np.ndarray:
    """At most ``number`` of some rows, evenly spread over them."""
    return rows[np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(np.int64)]
