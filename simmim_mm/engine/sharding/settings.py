"""Options of model wrappers, before anything is built; MMEngine looks at them in several processes alone."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.config import Config
from torch.nn.parallel import DistributedDataParallel

from simmim_mm.engine.sharding.runner import OWN_WRAPPERS
from simmim_mm.engine.sharding.wrapper import FullyShardedDataParallel, check_options
from simmim_mm.registry import MODEL_WRAPPERS

OWN_OPTIONS = tuple(inspect.signature(FullyShardedDataParallel.__init__).parameters)[2:]


def check_wrapper(cfg: Config) -> None:
    """Checks ``model_wrapper_cfg``, in one process too: there it does nothing, and the next run may have more.

    Whether ``shard_size`` divides the number of processes is left to several of them.

    Args:
        cfg: The config of a run.

    Raises:
        ValueError: If the type or an option is unknown, or a value cannot be.
    """
    wrapper = cfg.get('model_wrapper_cfg')
    if wrapper is None:
        return
    if not isinstance(wrapper, dict):
        raise ValueError(
            f'model_wrapper_cfg={wrapper!r} must be a dict, such as dict(type={FullyShardedDataParallel.__name__!r})'
        )
    options = {key: value for key, value in wrapper.items() if key != 'type'}
    kind = wrapper.get('type')
    if kind in OWN_WRAPPERS:
        _check_names(options, OWN_OPTIONS, 'FullyShardedDataParallel')
        check_options(**options)
        return
    known = _options_of(kind or 'MMDistributedDataParallel')
    misplaced = [key for key in OWN_OPTIONS if key in options and known is not None and key not in known]
    if misplaced:
        given = f'the type is {kind!r}' if kind else 'no type is given'
        raise ValueError(
            f'model_wrapper_cfg.{misplaced[0]}={options[misplaced[0]]!r} is an option of FullyShardedDataParallel, and '
            f'{given}; add model_wrapper_cfg.type=FullyShardedDataParallel, or delete model_wrapper_cfg.{misplaced[0]}'
        )
    if known is not None:
        _check_names(options, known, str(kind or 'MMDistributedDataParallel'))


def _check_names(options: dict[str, Any], known: tuple[str, ...], kind: str) -> None:
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ValueError(
            f'model_wrapper_cfg.{unknown[0]}={options[unknown[0]]!r} is no option of {kind}, which has '
            f'{", ".join(known)}; use one of these, or delete it'
        )


def _options_of(kind: Any) -> tuple[str, ...] | None:
    """Names of the options of a wrapper; None where it takes what it may."""
    try:
        found = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    except Exception as error:  # of a package that cannot be imported
        raise ValueError(f'model_wrapper_cfg.type={kind!r} cannot be found: {error}') from error
    if found is None:
        raise ValueError(
            f"model_wrapper_cfg.type={kind!r} is unknown; use 'FullyShardedDataParallel' or "
            "'MMDistributedDataParallel', or delete model_wrapper_cfg"
        )
    parameters = dict(inspect.signature(found).parameters)
    if issubclass(found, DistributedDataParallel):  # MMEngine's hand the rest on
        parameters |= inspect.signature(DistributedDataParallel.__init__).parameters
        parameters = {name: each for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return None
    return tuple(name for name in parameters if name not in ('self', 'module'))
