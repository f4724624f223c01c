"""One setting for the channels and the values of images: ``model.data_preprocessor``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

OWN_PREPROCESSORS = ('MaskedImagePreprocessor', 'simmim_mm.MaskedImagePreprocessor')
OWN_LOADERS = ('LoadImage', 'simmim_mm.LoadImage')
PREPROCESSOR = 'model.data_preprocessor'


def spread_channels(cfg: Config, options: Mapping[str, Any] | None = None) -> None:
    """Tells every ``LoadImage`` of a config what ``model.data_preprocessor`` expects.

    The encoder's channels follow in the model. A config whose preprocessor is another class is left as it is.

    Args:
        cfg: The config, with the command line's options in it. Changed in place.
        options: Those options. If they set ``channels`` or ``value_range`` without ``mean`` and ``std``, those of the
            config are dropped: they were of other images.

    Raises:
        ValueError: If the config says something else elsewhere, with both lines.
    """
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor')
    if not isinstance(preprocessor, Mapping) or preprocessor.get('type') not in OWN_PREPROCESSORS:
        return
    _drop_statistics_of_other_images(preprocessor, options or {})
    channels = _number_of_channels(preprocessor)
    depth = 'uint8' if preprocessor.get('value_range') is None else 'stored'
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for place, loader in _loaders(cfg.get(name), name):
            if loader.setdefault('channels', channels) != channels:
                raise ValueError(
                    f'{place}.channels={loader["channels"]!r} contradicts {PREPROCESSOR}, which has {channels} '
                    f'channels (as many as channels or mean say); delete {place}.channels, or change {PREPROCESSOR}'
                )
            if loader.setdefault('depth', depth) != depth:
                has = f'has value_range={preprocessor.get("value_range")}'
                raise ValueError(
                    f'{place}.depth={loader["depth"]!r} contradicts {PREPROCESSOR}, which {has}, from which '
                    f'{depth!r} follows; delete {place}.depth, or change {PREPROCESSOR}.value_range'
                )


def _drop_statistics_of_other_images(preprocessor: Any, options: Mapping[str, Any]) -> None:
    setting = f'{PREPROCESSOR}.'
    given = {key.removeprefix(setting) for key in options if key.startswith(setting)}
    if given & {'channels', 'value_range'} and not given & {'mean', 'std'}:
        dropped = [name for name in ('mean', 'std') if preprocessor.pop(name, None) is not None]
        if dropped:
            print_log(
                f'{" and ".join(dropped)} of the config are dropped, as {" and ".join(sorted(given))} of '
                f'{PREPROCESSOR} changed; the defaults for them apply (tools/dataset_statistics.py finds better ones)',
                logger='current',
            )


def _number_of_channels(preprocessor: Mapping[str, Any]) -> int:
    channels, mean = preprocessor.get('channels'), preprocessor.get('mean')
    if channels is None:
        return len(mean) if isinstance(mean, list | tuple) else 3
    if isinstance(mean, list | tuple) and len(mean) != channels:
        raise ValueError(
            f'{PREPROCESSOR}.channels={channels!r} contradicts {PREPROCESSOR}.mean, which has {len(mean)} numbers; '
            'give as many, or write mean=None, std=None beside channels'
        )
    return channels


def _loaders(part: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Each LoadImage below a part of a config, with where it stands; inside data set wrappers and transforms too."""
    if isinstance(part, Mapping):
        if part.get('type') in OWN_LOADERS:
            yield place, part
        for key, value in part.items():
            yield from _loaders(value, f'{place}.{key}')
    elif isinstance(part, list | tuple):
        for number, value in enumerate(part):
            yield from _loaders(value, f'{place}.{number}')
