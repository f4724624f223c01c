"""Reading weights from files that may be anything, and writing them so that a file is whole or not there."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simmim_mm.atomic import damage_of
from simmim_mm.overwriting import refuse_to_overwrite
from simmim_mm.transfer.identify import EXPECTED, describe_bytes, describe_object
from simmim_mm.transfer.plain_data import foreign_objects, plain_data

# Of a folder of Hugging Face's.
_IN_FOLDER = ('model.safetensors', 'pytorch_model.bin', 'config.json')
_CONTAINERS = ('state_dict', 'model', 'module', 'model_state_dict')


class Source(NamedTuple):
    """What was read.

    Attributes:
        path: The file.
        weights: Tensors by key, on the CPU.
        meta: What else the file says: ``meta`` of MMEngine's checkpoints, or the ``config.json`` of Hugging Face's.
    """

    path: str
    weights: dict[str, Tensor]
    meta: dict[str, Any]


def check_out(out: str, source: str, config: str | None) -> None:
    """Looks whether writing would overwrite what is read, before anything is read.

    Args:
        out: The file to write, or a folder of Hugging Face's.
        source: The checkpoint, a file or such a folder.
        config: The config file, if one is given.

    Raises:
        ValueError: If it would.
    """
    read = _with_files(source) + ([] if config is None else [config])
    for path in _with_files(out):
        refuse_to_overwrite(path, 'OUT', read)


def _with_files(path: str) -> list[str]:
    return [path, *(os.path.join(path, name) for name in _IN_FOLDER)]


def read_weights(path: str, allow_pickle: bool = False) -> Source:
    """Reads the weights of a checkpoint of any code base: PyTorch's format, safetensors, or Hugging Face's folder.

    Args:
        path: The file or folder.
        allow_pickle: Whether Python objects in it may be created, which runs code that the file names. Without, only
            tensors and plain data are read.

    Returns:
        The weights.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no weights, is damaged, or needs ``allow_pickle``; with what it seems to be.
    """
    if os.path.isdir(path):
        return _read_folder(path, allow_pickle)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path!r} is no file (seen from {os.getcwd()})')
    kind, problem = describe_bytes(path)
    if problem:
        raise ValueError(f'{path!r} {problem}')
    loaded = _read_safetensors(path) if kind == 'safetensors' else _read_torch(path, kind, allow_pickle)
    weights = _find_weights(loaded, path)
    meta = loaded.get('meta') if isinstance(loaded, Mapping) else None
    beside = Path(path).parent / 'config.json'
    if not isinstance(meta, dict):
        meta = _read_json(beside) if beside.is_file() and path.endswith(('.safetensors', '.bin')) else {}
    return Source(path, weights, meta)


def save_tensors(weights: Mapping[str, Tensor], path: str, file_format: str) -> None:
    """Writes weights by key as a flat file: ``'pth'`` or ``'safetensors'``."""
    weights = {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
    if file_format == 'safetensors':
        _safetensors().save_file(weights, path, metadata={'format': 'pt'})
    else:
        torch.save(weights, path)


def _read_folder(path: str, allow_pickle: bool) -> Source:
    """A folder as Hugging Face's ``save_pretrained`` writes it."""
    for name in ('model.safetensors', 'pytorch_model.bin'):
        file = os.path.join(path, name)
        if os.path.isfile(file):
            source = read_weights(file, allow_pickle)
            config = Path(path) / 'config.json'
            return source._replace(path=path, meta=_read_json(config) if config.is_file() else {})
    shards = [name for name in os.listdir(path) if name.endswith('.index.json')]
    found = 'weights in several pieces; save them again as one file' if shards else 'neither of them'
    raise ValueError(
        f'{path!r} is a folder. One is read if it holds model.safetensors or pytorch_model.bin, as save_pretrained '
        f'writes them; here is {found}'
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ValueError(f'{str(path)!r} cannot be read: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{str(path)!r} holds no settings by name')
    return content


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError('this file format needs safetensors: pip install safetensors') from error
    return safetensors.torch


def _read_safetensors(path: str) -> dict[str, Tensor]:
    reader = _safetensors()
    try:
        return reader.load_file(path)
    except Exception as error:
        raise ValueError(
            f'{path!r} is a safetensors file that is damaged or cut off; name another file, or copy it again'
        ) from error


def _read_torch(path: str, kind: str, allow_pickle: bool) -> Any:
    if kind == 'zip' and (damage := damage_of(path)):
        raise ValueError(f'{path!r} is a damaged PyTorch file: {damage}; {EXPECTED}')
    try:
        with plain_data():
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        if not allow_pickle:
            raise ValueError(_needs_pickle(path, kind, error)) from error
    except Exception as error:
        raise ValueError(f'{path!r} is a PyTorch file that is damaged or cut off; {EXPECTED}') from error
    try:
        return torch.load(path, map_location='cpu', weights_only=False)
    except ImportError as error:
        raise ValueError(f'{path!r} holds objects of a package that is not installed here: {error}') from error
    except Exception as error:
        raise ValueError(f'{path!r} cannot be unpickled: {_first_line(error)}') from error


def _needs_pickle(path: str, kind: str, error: Exception) -> str:
    names = foreign_objects(path) if kind == 'zip' else []
    if not names and 'GLOBAL' not in str(error):
        return f'{path!r} is no checkpoint of PyTorch, or one that is damaged; {EXPECTED}'
    what = ', '.join(names[:4]) or 'Python objects'
    return (
        f'{path!r} holds more than tensors and plain data ({what}). Creating such objects runs code that the file '
        'names, so it is not done unasked; if you trust where the file comes from, add --allow-pickle'
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _find_weights(loaded: Any, path: str) -> dict[str, Tensor]:
    candidates = [loaded]
    if isinstance(loaded, Mapping):
        candidates += [loaded[name] for name in _CONTAINERS if name in loaded]
    for candidate in candidates:
        if isinstance(candidate, Mapping) and candidate and _all_tensors(candidate):
            weights = dict(candidate)
            if all(key.startswith('module.') for key in weights):  # of DistributedDataParallel
                weights = {key.removeprefix('module.'): value for key, value in weights.items()}
            check_finite(weights, path)
            return weights
    raise ValueError(f'{path!r} holds no weights by name; it seems to be {describe_object(loaded)}')


def _all_tensors(candidate: Mapping) -> bool:
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in candidate.items())


def check_finite(weights: Mapping[str, Tensor], path: str) -> None:
    """Refuses weights of a run that broke.

    Args:
        weights: By key.
        path: Where they come from, for the message.

    Raises:
        ValueError: If one is NaN or infinite.
    """
    for key, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f'{path!r} holds numbers that are not finite, in {key}; take an earlier checkpoint')
