"""Keys of a config that a class does not take, said in one line."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator
from inspect import Parameter
from types import FrameType
from typing import Any

# Of what Python says, such as "BaseDataset.__init__() got an unexpected keyword argument 'nonsense'".
_REFUSAL = re.compile(r"(?P<callable>[^ ]+)\(\) got an unexpected keyword argument '(?P<key>\w+)'")
_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_BUILDER = ('mmengine.registry.build_functions', 'build_from_cfg')


def unknown_key(error: TypeError) -> str | None:
    """Says which key of a config is unknown, and where it stands.

    Args:
        error: What was raised.

    Returns:
        The message; None if the error is another one than that a class, or a function, which MMEngine built from a
        config does not take one of the config's keys.
    """
    found = _REFUSAL.match(str(error))
    frames = list(_frames(error))
    builders = [frame for frame in frames if (frame.f_globals.get('__name__'), frame.f_code.co_name) == _BUILDER]
    if found is None or not builders:
        return None
    built, key = builders[-1].f_locals.get('obj_cls'), found['key']
    if key not in builders[-1].f_locals.get('args', {}) or found['callable'] not in _names(built):
        return None
    options = _options(built)
    if any(key in names for names in options.values()):  # handed on to a class that does not take it: no fault of users
        return None
    kind = builders[-1].f_locals['obj_type']
    # What a builder adds by itself, such as a sampler's data set, is for no config to give.
    added = builders[-1].f_locals.get('default_args') or {}
    own, *others = [[name for name in names if name not in added] for names in options.values()] or [[]]
    places = next(filter(None, (_places(frame, kind, key) for frame in frames)), [repr(key)])
    near = difflib.get_close_matches(key, [*own, *(name for names in others for name in names)], 1)
    advice = f'write {near[0]!r} if that is meant' if near else 'delete it'
    name, bases = getattr(built, '__name__', repr(built)), [*options][1:]
    listed = f', or use one of {", ".join(own)}' if own else ''
    # Not listed: a class may give some of them itself.
    more = f', or one that it hands on to {" or ".join(bases)}' if bases else ''
    return f'{" and ".join(places)} {"is" if len(places) == 1 else "are"} no option of {name}; {advice}{listed}{more}'


def _frames(error: TypeError) -> Iterator[FrameType]:
    """The outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _names(built: Any) -> set[str]:
    """What Python may call the constructor that refused a key."""
    if inspect.isclass(built):
        return {f'{kind.__qualname__}{method}' for kind in built.__mro__ for method in ('.__init__', '.__new__', '')}
    return {getattr(built, '__qualname__', '')}


def _options(built: Any) -> dict[str, list[str]]:
    """Keys by the class that names them; those of base classes too, where it hands on what it does not know."""
    found: dict[str, list[str]] = {}
    for owner in built.__mro__ if inspect.isclass(built) else [built]:
        constructor = vars(owner).get('__init__') if inspect.isclass(owner) else owner
        try:
            parameters = inspect.signature(constructor).parameters.values() if constructor else ()
        except (TypeError, ValueError):  # of C code that does not tell
            break
        names = [each.name for each in parameters if each.kind not in _REST and each.name != 'self']
        if names:
            found[owner.__name__] = names
        if constructor and all(each.kind != Parameter.VAR_KEYWORD for each in parameters):
            break
    return found


def _places(frame: FrameType, kind: Any, key: str) -> list[str]:
    """Where a key stands beside a type in the config that a function has, such as ``train_dataloader.dataset.key``."""
    from mmengine.config import Config

    for value in frame.f_locals.values():
        if isinstance(value, Config):
            parts = _dicts(value.to_dict(), '')
            return [f'{path}{key}' for path, part in parts if part.get('type') == kind and key in part]
    return []


def _dicts(value: Any, path: str) -> Iterator[tuple[str, dict]]:
    """The dicts in a config, each with its path and a dot."""
    if isinstance(value, dict):
        yield path, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, part in parts:
        yield from _dicts(part, f'{path}{name}.')
