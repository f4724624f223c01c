"""Which files a data set consists of, as one number to compare."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from mmengine.dataset import BaseDataset

from simmim_mm.datasets.wrappers import base_datasets


def describe_data(dataset: Any) -> list[dict[str, Any]]:
    """Describes the files of a data set.

    The hash is the SHA-256 of their paths in UTF-8, each with a line break behind it, relative to ``data_root`` where
    they lie below it, with ``/`` between folders. It depends on the order, from which crops and masks follow; not on
    where the folder is, and not on what is in the files.

    Args:
        dataset: Any, wrappers included.

    Returns:
        For each data set in it with a pipeline of its own: ``type``, ``data_root``, ``num_files``, and ``list_sha256``,
        which is None where samples have no paths.
    """
    return [
        {
            'type': type(base).__name__,
            'data_root': str(base.data_root),
            'num_files': len(base),
            'list_sha256': _list_hash(base),
        }
        for base in base_datasets(dataset)
    ]


def _list_hash(dataset: BaseDataset) -> str | None:
    root = str(dataset.data_root or '').rstrip(os.sep)
    start = len(root) + 1 if root else 0
    digest = hashlib.sha256()
    for position in range(len(dataset)):
        path = dataset.get_data_info(position).get('img_path')
        if path is None:
            return None
        path = str(path)
        if start and path.startswith(root + os.sep):
            path = path[start:]
        digest.update(f'{path.replace(os.sep, "/")}\n'.encode(errors='surrogateescape'))
    return digest.hexdigest()
