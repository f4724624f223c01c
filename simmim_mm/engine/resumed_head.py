"""Whether a checkpoint was trained with the same target and loss, and hidden in the same way."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from simmim_mm.models.derive import find_class

# What the head builds where its config is silent.
DEFAULTS = dict(target='PixelTarget', loss='L1Loss')
# Names of files: they may have moved, and what they hold is compared where it is loaded.
FILES = ('checkpoint', 'clusters')


def check_head(model: Mapping[str, Any], meta: Mapping[str, Any], checkpoint: str) -> None:
    """Checks that a checkpoint to go on from was trained with the head of the model's config.

    Losses and many targets have no weights, so that keys and shapes do not tell. Says nothing about checkpoints that
    carry no config, or one that is no plain data.

    Args:
        model: Config of the model.
        meta: What the checkpoint says of its run.
        checkpoint: Its file name, for the message.

    Raises:
        ValueError: If target, loss or what counts differ, or the masker, with both and how to go on.
    """
    # Imported late: its module imports the launch, which imports this one.
    from simmim_mm.transfer.stored_config import stored_config

    try:
        stored = stored_config(meta, checkpoint).model
    except ValueError:
        return
    hidden_there, hidden_here = (_masker_of(each) for each in (stored, model))
    if hidden_there != hidden_here:
        raise ValueError(
            f'{checkpoint!r} was trained with model.masker={_shown(hidden_there)}, and this config has '
            f'{_shown(hidden_here)}: the encoder would see other things in hidden places. To go on in the same way, '
            'use the config in its work dir; to start a run with the other masker from these weights, use '
            f'--cfg-options load_from={checkpoint} and another --work-dir instead of --resume'
        )
    theirs, ours = _settings(stored.get('head')), _settings(model.get('head'))
    differences = [
        f'{name}={_shown(theirs.get(name))} there and {_shown(ours.get(name))} here'
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    if differences:
        raise ValueError(
            f'{checkpoint!r} was trained with another model.head than that of this config: {"; ".join(differences)}. '
            'To go on with the same objective, use the config in its work dir; to start a run with the other one from '
            f'these weights, use --cfg-options load_from={checkpoint} and another --work-dir instead of --resume'
        )


def _masker_of(model: Mapping[str, Any]) -> Any:
    """The options of a model's masker with their defaults."""
    return _completed({'type': 'TokenMasker', **(model.get('masker') or {})})


def _settings(head: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of a head with their defaults, without those that name files or that MMEngine has."""
    settings = _completed({'type': 'ReconstructionHead', **(head or {})})
    for slot, name in DEFAULTS.items():
        settings[slot] = _completed({'type': name} if settings.get(slot) is None else settings[slot])
    settings.pop('init_cfg', None)
    return settings


def _completed(cfg: Any) -> Any:
    """A config with the defaults of its class, and without prefix of this package, names of files and facts."""
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        return _plain(cfg)
    defaults = {
        parameter.name: parameter.default
        for parameter in inspect.signature(find_class(cfg)).parameters.values()
        if parameter.default is not parameter.empty
    }
    kind = cfg['type'] if isinstance(cfg['type'], str) else cfg['type'].__name__
    options = {**defaults, **cfg, 'type': kind.removeprefix('simmim_mm.')}
    return {name: _plain(value) for name, value in options.items() if name not in FILES}


def _plain(value: Any) -> Any:
    """The same with lists for tuples, which configs do not tell apart."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    shown = {name: part for name, part in value.items() if part is not None}
    return f'dict({", ".join(f"{name}={part!r}" for name, part in shown.items())})'
