"""Building parts whose sizes follow from other parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.registry import Registry
from torch import nn

from simmim_mm.registry import MODELS

# What the packages of the family call the number of an encoder's input channels.
CHANNEL_ARGUMENTS = ('in_channels', 'in_chans')


def with_channels(backbone: dict[str, Any], channels: int) -> dict[str, Any]:
    """Adds the number of input channels to an encoder's config, where its class takes it and the config is silent.

    Args:
        backbone: Config of the encoder.
        channels: Channels of the images.

    Returns:
        The config, or a completed copy. What a config says is kept, and checked when the encoder is built.
    """
    check_config(backbone, 'backbone')
    if any(name in backbone for name in CHANNEL_ARGUMENTS):
        return backbone
    accepted = accepted_arguments(find_class(backbone))
    return next(({**backbone, name: channels} for name in CHANNEL_ARGUMENTS if name in accepted), backbone)


def build_derived(cfg: dict[str, Any], slot: str, optional: Mapping[str, Any] | None = None, **facts: Any) -> nn.Module:
    """Builds a module from its config and from facts that follow from the rest of the model.

    Args:
        cfg: Config with ``type``. It may repeat a fact, but not contradict it.
        slot: Where the config stands in the model's, for messages.
        optional: Facts that the constructor gets only if it has arguments of these names. None means not known.
        **facts: Constructor arguments that follow from the other parts.

    Returns:
        The module.

    Raises:
        ValueError: If the config contradicts a fact.
    """
    check_config(cfg, slot)
    known = {name: value for name, value in (optional or {}).items() if value is not None}
    if known:
        taken = accepted_arguments(find_class(cfg))
        facts.update({name: value for name, value in known.items() if name in taken})
    for name, value in facts.items():
        if name in cfg and cfg[name] != value:
            raise ValueError(
                f'model.{slot}.{name}={cfg[name]!r} contradicts the rest of the model, from which {value!r} follows; '
                f'delete {name} from model.{slot}'
            )
    return build_part({**cfg, **facts}, f'model.{slot}')


def build_part(cfg: Mapping[str, Any], where: str, registry: Registry = MODELS) -> Any:
    """Builds something whose class may refuse its arguments in its own words.

    Args:
        cfg: Config with ``type``.
        where: Where it stands, for the message.
        registry: Where its class is.

    Raises:
        ValueError: If the class refuses the arguments, with what it says.
    """
    try:
        return registry.build(cfg)
    except (TypeError, AssertionError, RuntimeError) as error:
        raise ValueError(f'{where} cannot be built: {type(error).__name__}: {error}; change its arguments') from error


def accepted_arguments(constructor: Callable) -> set[str]:
    """Names of the arguments of a class or function.

    Args:
        constructor: A class; where its ``__init__`` takes ``**kwargs``, those of the class that it inherits from count
            too. Or a function.
    """
    names: set[str] = set()
    inits = (
        [cls.__dict__['__init__'] for cls in constructor.__mro__ if '__init__' in cls.__dict__]
        if isinstance(constructor, type)
        else [constructor]
    )
    for init in inits:
        parameters = inspect.signature(init).parameters.values()
        names |= {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
        if not any(each.kind == each.VAR_KEYWORD for each in parameters):
            break
    return names


def find_class(cfg: Mapping[str, Any]) -> Callable:
    """What builds a config, looked up as the registry does."""
    if not isinstance(cfg['type'], str):
        return cfg['type']
    with MODELS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
        found = registry.get(cfg['type'])
    return found or (lambda: None)  # an unknown name: MODELS.build says so


def check_config(cfg: Any, slot: str) -> None:
    """Checks that something is a config.

    Args:
        cfg: A dict with ``type``.
        slot: Where it stands in the model's config.

    Raises:
        ValueError: If it is something else.
    """
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        raise ValueError(f'model.{slot}={cfg!r} is no config; write {slot}=dict(type=...)')
