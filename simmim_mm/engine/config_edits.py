"""Changes that command-line options make to a config as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# Backbones that read checkpoints in their own way, whatever the type in their init_cfg.
OWN_LOADERS = ('mmdet.SwinTransformer', 'mmseg.SwinTransformer')


def set_pretrained(cfg: Config, pretrained: str, path: str) -> None:
    """Names the file that the backbone starts from.

    Args:
        cfg: The config.
        pretrained: The file, or ``'none'`` for random weights.
        path: Of the config, for messages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the config has no place for it.
    """
    if pretrained != 'none' and not os.path.isfile(pretrained):
        raise FileNotFoundError(f'--pretrained {pretrained!r} is no file (seen from {os.getcwd()})')
    places = [part for part in _dicts(cfg.get('model')) if part.get('type') == 'simmim_mm.CheckedPretrained']
    if not places:
        raise ValueError(
            f"--pretrained does not fit {path}: no part of its model has init_cfg=dict(type='simmim_mm."
            "CheckedPretrained', ...). To go on with a checkpoint of the whole model, use --cfg-options load_from=FILE"
        )
    for place in places:
        place['checkpoint'] = None if pretrained == 'none' else pretrained


def check_backbone_loads(cfg: Config) -> None:
    """Refuses backbones that would read their checkpoint without the check that the config asks for.

    Raises:
        ValueError: If there is one.
    """
    scope = cfg.get('default_scope')
    for part in _dicts(cfg.get('model')):
        name = str(part.get('type'))
        full_name = name if '.' in name else f'{scope}.{name}'
        init_cfg = part.get('init_cfg') or {}
        parts = init_cfg if isinstance(init_cfg, list) else [init_cfg]
        checked = any(init.get('type') == 'simmim_mm.CheckedPretrained' for init in parts)
        if full_name in OWN_LOADERS and checked:
            raise ValueError(
                f'{full_name} reads checkpoints itself and would pass over CheckedPretrained; use '
                'mmpretrain.SwinTransformer, whose keys and features are the same'
            )


def set_data_root(cfg: Config, data_root: str, path: str, loader: str = 'train_dataloader') -> None:
    """Names the folder of the data, of one loader and of whatever else stood in the same folder.

    Args:
        cfg: The config.
        data_root: The folder.
        path: Of the config, for messages.
        loader: Whose folder is meant.

    Raises:
        ValueError: If its data set has no folder.
    """
    dataset = _rooted(cfg.get(loader))
    if dataset is None:
        part = 'training' if loader == 'train_dataloader' else 'test'
        kind = cfg[loader].dataset.type if cfg.get(loader) else None
        raise ValueError(f'--data-root does not fit {path}: its {part} data set {kind} has no data_root')
    old = dataset.data_root
    dataset.data_root = data_root
    for name in LOADERS:
        other = _rooted(cfg.get(name))
        if other is not None and other.data_root == old:
            other.data_root = data_root
    for evaluator in _dicts([cfg.get('val_evaluator'), cfg.get('test_evaluator')]):
        file = evaluator.get('ann_file')
        if isinstance(file, str) and old and file.startswith(f'{old.rstrip("/")}/'):
            evaluator['ann_file'] = os.path.join(data_root, file[len(old.rstrip('/')) + 1 :])


def _rooted(loader: Any) -> Any:
    """The data set with a ``data_root`` in a loader, inside of wrappers or not."""
    dataset = loader.get('dataset') if loader else None
    while isinstance(dataset, dict) and 'data_root' not in dataset:
        dataset = dataset.get('dataset')
    return dataset if isinstance(dataset, dict) else None


def _dicts(value: Any) -> Iterator[dict]:
    """A config's dicts, outer ones first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _dicts(part)
