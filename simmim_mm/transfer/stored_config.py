"""The config that a checkpoint carries, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from simmim_mm.engine.config import load_config
from simmim_mm.transfer.files import Source

_NEEDED = ('model', 'default_scope', 'custom_imports', 'acceleration')


def is_ours(read: Source, config: str | None = None) -> bool:
    """Whether a file is a checkpoint of ours: an encoder below ``backbone.``, and a config that tells which.

    Args:
        read: What was read.
        config: A config file that is named for it.
    """
    if 'backbone.mask_token' in read.weights:  # of mmpretrain's SimMIM
        return False
    known = 'masker.mask_token' in read.weights or config is not None or isinstance(read.meta.get('cfg'), str)
    return known and any(key.startswith('backbone.') for key in read.weights)


def stored_config(meta: Mapping[str, Any], path: str, config: str | None = None) -> Config:
    """Finds the config of a checkpoint: a file that is named, or what MMEngine stored in it.

    The stored text is a Python file. It is not run, but read as the plain data that MMEngine writes.

    Args:
        meta: ``meta`` of the checkpoint.
        path: The checkpoint, for messages.
        config: A config file to take instead.

    Returns:
        A config with ``model``.

    Raises:
        ValueError: If there is none, or it is no plain data.
    """
    if config is not None:
        cfg = load_config(config)
    elif isinstance(text := meta.get('cfg'), str):
        try:
            cfg = Config(_read_plain(text))
        except (SyntaxError, ValueError, TypeError) as error:
            raise ValueError(
                f'the config that is stored in {path!r} cannot be read as plain data ({error}); name it with --config'
            ) from error
    else:
        raise ValueError(f'{path!r} does not say which config it is of; name it with --config')
    if not isinstance(cfg.get('model'), dict) or not isinstance(cfg.model.get('backbone'), dict):
        raise ValueError(f'the config of {path!r} has no model with a backbone')
    if cfg.get('custom_imports'):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except ImportError as error:
            raise ValueError(f'the config of {path!r} needs modules that cannot be imported: {error}') from error
    return cfg


def _read_plain(text: str) -> dict[str, Any]:
    """The values that are assigned in a text of literals, of which dictionaries may be written as ``dict(a=1)``."""
    values = {}
    for line in ast.parse(text).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and line.targets[0].id in _NEEDED:
            values[line.targets[0].id] = _value(line.value)
    return values


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f'line {node.lineno} is no plain dict(...)')
        return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError(f'line {node.lineno} is no plain dictionary')
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.List):
        return [_value(part) for part in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(part) for part in node.elts)
    return ast.literal_eval(node)
