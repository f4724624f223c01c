"""Applies the levers of a preset to a built model."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn

from simmim_mm.acceleration.levers import LEVERS, PRESETS, Lever


def accelerate(model: nn.Module, preset: str = 'exact', **levers: Any) -> dict[str, str]:
    """Makes the steps of a built model cheaper, in place. Parameters and keys stay what they are.

    Levers are for the device that the model is on, so it comes first on its device, then here, then to be compiled.
    Wrapping it for several processes may come before or after.

    Args:
        model: A built model, such as :class:`~simmim_mm.models.SimMIM`, or a wrapped one.
        preset: ``'off'`` for the plain path, ``'exact'`` for what gives the same loss and gradients, ``'max'`` for
            options that change numbers too.
        **levers: Values of single levers (:data:`~simmim_mm.acceleration.levers.LEVERS`), in place of the preset's;
            False switches one off.

    Returns:
        For each lever that is on what it did, or why it does not apply. The same is logged.

    Raises:
        ValueError: If a preset, a lever or a value is unknown, or the model is accelerated already.
    """
    model = model.get_submodule('module') if is_model_wrapper(model) else model
    device = next((parameter.device.type for parameter in model.parameters()), 'cpu')
    chosen = choose_levers(device, preset, **levers)
    if getattr(model, '_accelerated', False):
        raise ValueError(
            "this model is accelerated already; keep either acceleration = dict(...) or AccelerationHook in the run's "
            'config'
        )
    model._accelerated = bool(chosen)  # type: ignore[assignment]
    reports = {}
    for name, value in chosen.items():
        reports[name] = _module_of(LEVERS[name]).apply(model, value)
        print_log(f'Acceleration: {name}: {reports[name]}', logger='current')
    if not chosen:
        print_log('Acceleration: off', logger='current')
    return reports


def choose_levers(device: str, preset: str = 'exact', **levers: Any) -> dict[str, Any]:
    """Resolves a preset and single levers.

    Args:
        device: Type of the device, ``'cpu'`` or ``'cuda'``.
        preset: See :func:`accelerate`.
        **levers: See :func:`accelerate`.

    Returns:
        The levers that are on, with their values, in the order in which they are applied.

    Raises:
        ValueError: If a preset, a lever or a value is unknown.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError(f'acceleration.preset={preset!r} is unknown; use one of {", ".join(PRESETS)}')
    for name, value in levers.items():
        _check(name, value)
    chosen = {}
    for name, lever in LEVERS.items():
        on_here = lever.presets.get(preset, False) if device in lever.devices else False
        value = levers.get(name, on_here)
        if value is not False:
            chosen[name] = value
    return chosen


def check_acceleration(settings: Any) -> dict[str, Any]:
    """Checks the ``acceleration`` entry of a config.

    Args:
        settings: ``dict(preset='exact', ...)``, or None for ``dict(preset='off')``.

    Returns:
        The arguments of :func:`accelerate`.

    Raises:
        ValueError: If it is no dict, or a preset, a lever or a value is unknown.
    """
    if settings is None:
        return {'preset': 'off'}
    if not isinstance(settings, Mapping):
        raise ValueError(
            f"acceleration={settings!r} must be a dict: dict(preset='exact'), with a preset of {', '.join(PRESETS)} "
            'and single levers to override it'
        )
    settings = dict(settings)
    choose_levers('cpu', **settings)
    return settings


def _check(name: str, value: Any) -> None:
    if name not in LEVERS:
        near = difflib.get_close_matches(name, LEVERS, n=1)
        guess = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(f'acceleration.{name} is no lever{guess} There are: preset, {", ".join(LEVERS)}')
    lever = LEVERS[name]
    if value is False:
        return
    if lever.values is None:
        _module_of(lever).check(value)
    elif not any(type(value) is type(allowed) and value == allowed for allowed in lever.values):
        allowed = ', '.join(repr(allowed) for allowed in (False, *lever.values))
        raise ValueError(f'acceleration.{name}={value!r} is unknown; use one of {allowed}')


def _module_of(lever: Lever) -> ModuleType:
    return importlib.import_module(f'simmim_mm.acceleration.{lever.module}')
