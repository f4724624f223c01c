"""Whether the files that a config names are there, before anything is built."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from simmim_mm.datasets import HostImages, ShardedImages, UnlabelledImages
from simmim_mm.datasets.host_images import check_unpacked
from simmim_mm.datasets.image_files import HOW_TO_NAME_A_FOLDER, check_place
from simmim_mm.registry import DATASETS

EVALUATORS = {'val_dataloader': 'val_evaluator', 'test_dataloader': 'test_evaluator'}


def check_places(cfg: Config, loaders: Iterable[str]) -> None:
    """Looks whether the folders and lists of data sets are there.

    Without, a run would find out when its model is built and its work dir is made. What lies on other storage than a
    disk, and what a data set downloads, is left to the data set.

    Args:
        cfg: The config of a run.
        loaders: Which of its loaders are used, such as ``'train_dataloader'``.

    Raises:
        FileNotFoundError: If a folder or a list is missing, with the setting that names it.
        NotADirectoryError: If a file is in the place of a folder.
        ValueError: If settings of one of our data sets contradict each other.
    """
    init_default_scope(cfg.get('default_scope') or 'simmim_mm')
    for name in loaders:
        loader = cfg.get(name)
        if not isinstance(loader, dict):
            continue
        for setting, dataset in _datasets(loader.get('dataset'), f'{name}.dataset'):
            _check_dataset(dataset, setting)
        evaluator = cfg.get(EVALUATORS.get(name, ''))
        for each in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
            if isinstance(each, dict) and _is_local(each.get('ann_file')) and not _is_remote(each):
                _check_file(each['ann_file'], each['ann_file'], f'{EVALUATORS[name]}.ann_file')


def _datasets(dataset: Any, setting: str) -> Iterator[tuple[str, dict]]:
    """Configs of data sets, those inside of wrappers too, each with the path of its settings."""
    if not isinstance(dataset, dict):
        return
    yield setting, dataset
    inner = dataset.get('dataset')
    if isinstance(inner, dict) and _class_of(dataset.get('type')) is HostImages:
        inner = {'download': False, **inner}  # as HostImages does
    yield from _datasets(inner, f'{setting}.dataset')
    parts = dataset.get('datasets')
    for number, part in enumerate(parts if isinstance(parts, list | tuple) else ()):
        yield from _datasets(part, f'{setting}.datasets.{number}')


def _check_dataset(dataset: dict, setting: str) -> None:
    kind = _class_of(dataset.get('type'))
    root: Any = dataset.get('data_root')
    if kind is None or issubclass(kind, HostImages) or not _is_local(root) or _is_remote(dataset):
        return
    if issubclass(kind, ShardedImages):
        _check_folder(root, setting, f'put the shards there, or {HOW_TO_NAME_A_FOLDER}')
    elif issubclass(kind, UnlabelledImages):
        check_place(root, dataset.get('list_file'), dataset.get('pattern'))
    elif not _downloads(kind, dataset):
        check_unpacked(kind, dataset)
        _check_folder(
            root, setting, f'put the data there, or name another folder with --data-root or {setting}.data_root'
        )
        file: Any = dataset.get('ann_file')
        if _is_local(file):
            _check_file(os.path.join(root, file), file, f'{setting}.ann_file')


def _class_of(kind: Any) -> type[BaseDataset] | None:
    """The class of a data set with files of its own; None for wrappers and names that the Runner will refuse."""
    try:
        found = DATASETS.get(kind) if isinstance(kind, str) else kind
    except Exception:  # of a package that cannot be imported
        return None
    return found if isinstance(found, type) and issubclass(found, BaseDataset) else None


def _is_local(path: Any) -> bool:
    return isinstance(path, str) and bool(path) and '://' not in path


def _is_remote(settings: dict) -> bool:
    """Whether files are read through a storage of MMEngine's that may be no disk."""
    return any(
        isinstance(value, dict) and value.get('backend', 'local') not in ('local', 'disk')
        for value in (settings.get('backend_args'), settings.get('file_client_args'))
    )


def _downloads(kind: type[BaseDataset], dataset: dict) -> bool:
    """Whether a data set fetches what is missing."""
    option = inspect.signature(kind.__init__).parameters.get('download')
    return option is not None and bool(dataset.get('download', option.default))


def _check_folder(root: str, setting: str, advice: str) -> None:
    if not os.path.isdir(root):
        what = 'is a file, not a folder' if os.path.isfile(root) else f'does not exist (seen from {os.getcwd()})'
        error = NotADirectoryError if os.path.isfile(root) else FileNotFoundError
        raise error(f'{setting}.data_root={root!r} {what}; {advice}')


def _check_file(path: str, given: str, setting: str) -> None:
    if not os.path.exists(path):
        raise FileNotFoundError(
            f'{setting}={given!r} names {path!r}, which does not exist (seen from {os.getcwd()}); name the file that '
            'holds the annotations, or the folder of the data with --data-root'
        )
