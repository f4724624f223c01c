"""The images of another package's data set."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from simmim_mm.datasets.file_names import relative_name
from simmim_mm.datasets.unlabelled import UnlabelledImages
from simmim_mm.registry import DATASETS


@DATASETS.register_module()
class HostImages(UnlabelledImages):
    """The images of a host's data set, such as ``mmpretrain.CIFAR10``, through a pipeline of this package.

    Crops and masks follow from (seed, epoch, sample), and unreadable files are skipped, as in
    :class:`~simmim_mm.datasets.UnlabelledImages`. Labels are left where they are. Nothing is downloaded, unless
    ``dataset`` says ``download=True``.

    Args:
        dataset: Config of the data set; its samples have an image (``img``) or a path (``img_path``). Its own pipeline
            is not used.
        pipeline: Transforms, as configs or callables, with ``LoadImage`` first if the samples have paths.
        max_unreadable: See :class:`~simmim_mm.datasets.UnlabelledImages`, for this and the next five. Images that come
            from no file go by their position.
        blank: ``'skip'`` or ``'keep'``.
        unfit: ``'stop'`` or ``'skip'``.
        split: ``'train'`` or ``'held_out'``.
        held_out: Share of the held-out part.
        fixed: Whether masks follow from seed and file alone.

    Raises:
        FileNotFoundError: If the files of the data set are missing, with what to do.
        ValueError: If ``dataset`` is no config of a data set of samples.
    """

    def __init__(
        self,
        dataset: Mapping[str, Any],
        pipeline: Sequence[dict | Callable] = (),
        max_unreadable: float = 0.05,
        blank: str = 'skip',
        unfit: str = 'stop',
        split: str | None = None,
        held_out: float | None = None,
        fixed: bool = False,
    ) -> None:
        self.images = build_host_set(dataset, 'HostImages')
        super().__init__(
            str(dataset.get('data_root') or '.'),
            pipeline=pipeline,
            max_unreadable=max_unreadable,
            blank=blank,
            unfit=unfit,
            split=split,
            held_out=held_out,
            fixed=fixed,
            serialize_data=False,
        )

    def load_data_list(self) -> list[dict]:
        """Positions in the host's data set, which keeps the samples."""
        return [{'position': position} for position in range(len(self.images))]

    def get_data_info(self, idx: int) -> dict:
        """One sample of the host's data set.

        Args:
            idx: Its position.

        Returns:
            What the host knows of it; ``img`` (H, W, C), where it has one.
        """
        position = self.data_list[int(idx)]['position']
        info = {**self.images.get_data_info(position), 'position': position}
        if 'img' in info:
            image = np.asarray(info['img'])
            info['img'] = image[..., None] if image.ndim == 2 else image
            info.setdefault('img_shape', info['img'].shape[:2])
        info['sample_idx'] = int(idx)
        return info

    def name_of(self, info: dict) -> str:
        """What a file is called below the folder of the data set; an image without a file, its position there."""
        path = self.images.get_data_info(info['position']).get('img_path')
        return str(info['position']) if path is None else relative_name(path, self.data_root)


def build_host_set(dataset: Mapping[str, Any], owner: str) -> BaseDataset:
    """Builds a data set of a host package, without its pipeline.

    Args:
        dataset: Its config. Nothing is downloaded, unless it says ``download=True``.
        owner: What asks for it, for messages.

    Raises:
        FileNotFoundError: If its files are missing, with what to do.
        ValueError: If it is no config of a data set of samples.
    """
    if not isinstance(dataset, Mapping) or 'type' not in dataset:
        raise ValueError(f"dataset={dataset!r} of {owner} is no config; write dict(type='mmpretrain.CIFAR10', ...)")
    cfg = dict(dataset)
    name = cfg['type'] if isinstance(cfg['type'], str) else cfg['type'].__name__
    kind = cfg['type'] if isinstance(cfg['type'], type) else DATASETS.get(name)
    if kind is None:
        raise ValueError(f'data set {name!r} is unknown; write the package too, as in mmpretrain.CIFAR10')
    if not (isinstance(kind, type) and issubclass(kind, BaseDataset)):
        raise ValueError(f"{name} is no data set of MMEngine's kind (BaseDataset); use one of a host package")
    if not cfg.get('download'):
        if 'download' in inspect.signature(kind.__init__).parameters:  # type: ignore[misc]
            cfg['download'] = False  # mmpretrain's default is to download
        check_unpacked(kind, cfg)
    try:
        return DATASETS.build({**cfg, 'pipeline': []})
    except (RuntimeError, AssertionError, OSError) as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise FileNotFoundError(
            f'{name} cannot read its files in data_root={cfg.get("data_root")!r} (seen from {os.getcwd()}): {reason}; '
            f'{_advice(kind, cfg)}'
        ) from error


def check_unpacked(kind: Any, cfg: Mapping[str, Any]) -> None:
    """Says what is missing before the host looks, which in a distributed run leaves the other processes waiting.

    Args:
        kind: Class of a data set of a host package. Only one that is an archive with a folder in it is looked at, as
            CIFAR is.
        cfg: Its config.

    Raises:
        FileNotFoundError: If files are missing, with where to fetch them.
    """
    if not _is_archive(kind):
        return
    folder, names = _unpacked_files(kind, cfg)
    missing = [each for each in names if not os.path.isfile(os.path.join(folder, each))]
    if missing:
        name = cfg['type'] if isinstance(cfg['type'], str) else kind.__name__
        raise FileNotFoundError(
            f'{name} finds no {", ".join(missing[:2])}{" ..." if len(missing) > 2 else ""} in {folder!r} (seen from '
            f'{os.getcwd()}); {_advice(kind, cfg)}'
        )


def _unpacked_files(kind: Any, cfg: Mapping[str, Any]) -> tuple[str, list[str]]:
    root = str(cfg.get('data_root') or '')
    if isinstance(cfg.get('data_prefix'), str):
        root = os.path.join(root, cfg['data_prefix'])
    lists = (*getattr(kind, 'train_list', ()), *getattr(kind, 'test_list', ()))
    names = [each[0] for each in lists if isinstance(each, list | tuple)]
    return os.path.join(root, getattr(kind, 'base_folder', '')), names


def _is_archive(kind: Any) -> bool:
    """Whether the data set is one archive with a folder in it, as CIFAR is."""
    return bool(getattr(kind, 'base_folder', None) and getattr(kind, 'url', None))


def _advice(kind: Any, cfg: Mapping[str, Any]) -> str:
    where = 'name the folder above with --data-root FOLDER, or with dataset.data_root in the config'
    if not _is_archive(kind):
        return where
    folder, _ = _unpacked_files(kind, cfg)
    return (
        f'fetch {kind.url} and unpack it in {os.path.dirname(folder) or "."!r}, so that {folder!r} holds its files '
        f'(one with a wrong checksum, changed or cut off, counts as missing), or {where}'
    )
