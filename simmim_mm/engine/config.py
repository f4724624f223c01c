"""From a config file and command-line options to a config."""

from __future__ import annotations

import argparse
import inspect
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.hub import get_config
from mmengine.runner import Runner

from simmim_mm.acceleration import check_acceleration
from simmim_mm.engine.channels import spread_channels
from simmim_mm.engine.config_edits import LOADERS, check_backbone_loads, set_data_root, set_pretrained
from simmim_mm.engine.held_out import hold_out
from simmim_mm.options import check_whole

# What MMEngine reads from a config beside the arguments of its Runner.
HOST_KEYS = ('custom_imports', 'find_unused_parameters', 'model_wrapper_cfg', 'runner_type', 'sync_bn')
# What we read from a config beside those.
OWN_KEYS = ('acceleration',)
# What begins a dict in a value, which MMEngine's options do not know.
DICTS = re.compile(r'(^|[\[(,])[\s\'"]*(dict\s*\(|\{)')


def find_config(model: str) -> str:
    """The config file of a model.

    Args:
        model: Name of a config without ``simmim_`` and ``.py``, such as ``'swin_base'``, or a config file.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: If there is none, with the names that there are.
    """
    if '::' in model or Path(model).is_file():
        return model
    package = Path(__file__).resolve().parents[1]
    folder = package / '.mim' / 'configs'
    folder = folder if folder.is_dir() else package.parent / 'configs'
    # A recipe's length is in some names: swinv2_tiny is simmim_swinv2_tiny_800e.py.
    for pattern in (f'simmim_{model}.py', f'simmim_{model}_[0-9]*e.py'):
        found = sorted(folder.glob(pattern))
        if found:
            return str(found[0])
    names = ', '.join(sorted(path.stem.removeprefix('simmim_') for path in folder.glob('simmim_*.py')))
    raise FileNotFoundError(f'{model!r} is no config file, and none of the configs here: {names}')


def load_config(
    path: str,
    work_dir: str | None = None,
    resume: str | None = None,
    precision: str | None = None,
    auto_scale_lr: bool = False,
    validate: bool = True,
    data_root: str | None = None,
    pretrained: str | None = None,
    cfg_options: Sequence[str] = (),
    launcher: str = 'none',
    seed: int | None = None,
    held_out: float | None = None,
) -> Config:
    """Reads a config file and applies command-line options to it.

    Args:
        path: The config file, or one of an installed package as ``'simmim_mm::simmim_swin_base.py'``.
        work_dir: Where logs, checkpoints and pictures go. Without it, the config's, or
            ``work_dirs/NAME_OF_THE_CONFIG``.
        resume: ``'auto'`` for the newest checkpoint in the work dir, or a checkpoint file.
        precision: See :func:`simmim_mm.engine.precision.choose_precision`.
        auto_scale_lr: Whether to scale the learning rate to the actual batch size.
        validate: Whether to keep the config's validation.
        data_root: Folder of the training images, and of what else stands in the same folder.
        pretrained: File of the backbone to start from, or ``'none'`` for random weights.
        cfg_options: Settings to override, as ``['optim_wrapper.optimizer.lr=1e-4']``, in MMEngine's notation.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        seed: Of everything that is drawn; see ``docs/determinism.md``.
        held_out: Share of the training images to validate on, see :func:`simmim_mm.engine.held_out.hold_out`.

    Returns:
        The config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an option does not fit the config.
    """
    if '::' in path:
        cfg = get_config(path)
    elif os.path.isfile(path):
        try:
            cfg = Config.fromfile(path)
        except Exception as error:
            raise ValueError(f'config {path!r} cannot be read: {type(error).__name__}: {error}') from error
    else:
        raise FileNotFoundError(f'config {path!r} is no file (seen from {os.getcwd()})')
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(path.rpartition('::')[2]).stem)
    if resume is not None and resume != 'auto' and os.path.isdir(resume):
        raise ValueError(
            f'--resume {resume} is a folder; name a checkpoint file in it, or use --work-dir {resume} --resume, which '
            'takes the newest one there'
        )
    if resume is not None and resume != 'auto' and not os.path.isfile(resume):
        raise FileNotFoundError(f'checkpoint {resume!r} to resume from does not exist (seen from {os.getcwd()})')
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
    if seed is not None:
        cfg.randomness = {
            **(cfg.get('randomness') or {}),
            'seed': check_whole(seed, 'seed', 'randomness', 0, 2**32 - 1),
        }
    if precision is not None:
        _set_precision(cfg, precision)
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(f'--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in {path}')
        cfg.auto_scale_lr.enable = True
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if data_root is not None:
        set_data_root(cfg, data_root, path)
    if pretrained is not None:
        set_pretrained(cfg, pretrained, path)
    options = _parse_options(cfg_options)
    if held_out is not None:
        if not validate:
            raise ValueError(
                f'--held-out {held_out} adds a validation, and --no-validate leaves it out; use one of them'
            )
        # What is held out follows from the training data, which options may change.
        later = {key: value for key, value in options.items() if key.split('.')[0].startswith('val_')}
        _merge_options(cfg, {key: value for key, value in options.items() if key not in later}, cfg_options)
        hold_out(cfg, held_out, path)
        _merge_options(cfg, later, cfg_options)
    else:
        _merge_options(cfg, options, cfg_options)
    spread_channels(cfg, options)
    check_backbone_loads(cfg)
    check_acceleration(cfg.get('acceleration'))
    _fit_loaders_to_machine(cfg)
    return cfg


def _parse_options(cfg_options: Sequence[str]) -> dict[str, Any]:
    """Reads ``KEY=VALUE`` options, and refuses those that could have no effect."""
    known = {*inspect.signature(Runner.__init__).parameters, *HOST_KEYS, *OWN_KEYS}
    for option in cfg_options:
        key, equals, _ = option.partition('=')
        if not equals:
            raise ValueError(f'--cfg-options {option!r} is no KEY=VALUE')
        if key.split('.')[0] not in known:
            raise ValueError(
                f'--cfg-options {option!r} has no effect: {key.split(".")[0]!r} is no setting of a run. A variable of '
                'the config file, such as img_size, stands in several settings by the time that it is read: override '
                'those, such as model.img_size'
            )
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='*', action=DictAction)
    parsed: dict[str, Any] = {}
    for option in cfg_options:
        advice = (
            f'--cfg-options {option!r} cannot be read: a value is a number, a word, or a list of those, such as "[1,2]"'
            '. Of what consists of dicts, name each setting by itself, as in KEY.0.NAME=VALUE, or write it in a config '
            'of your own, with _base_'
        )
        if DICTS.search(option.partition('=')[2]):  # would be words
            raise ValueError(advice)
        try:
            parsed |= parser.parse_args(['--cfg-options', option]).cfg_options
        except (RecursionError, AssertionError) as error:  # of brackets behind a word, or without their other half
            raise ValueError(advice) from error
    return parsed


def _merge_options(cfg: Config, options: dict[str, Any], given: Sequence[str]) -> None:
    """Overrides settings of a config, in place; ``given`` is how they were written."""
    try:
        cfg.merge_from_dict(options)
    except (TypeError, KeyError, IndexError, AssertionError, AttributeError) as error:
        raise ValueError(
            f'--cfg-options {" ".join(given)} does not fit the config: {type(error).__name__}: {error}. A number of a '
            'list stands between dots (param_scheduler.0.end); what has to become a dict is written in a config of '
            'your own, with _base_'
        ) from error


def _fit_loaders_to_machine(cfg: Config) -> None:
    """Leaves out what PyTorch refuses without workers, or warns of without an accelerator."""
    for name in LOADERS:
        loader = cfg.get(name)
        if loader and loader.get('num_workers', 0) == 0:
            loader.persistent_workers = False
        if loader and get_device() == 'cpu':
            loader.pin_memory = False


def _set_precision(cfg: Config, precision: str) -> None:
    wrapper = cfg.optim_wrapper
    if wrapper.get('type') == 'AmpOptimWrapper':
        for name in ('dtype', 'loss_scale', 'use_fsdp'):  # ours has no such options, or with another meaning
            wrapper.pop(name, None)
    wrapper.type = 'simmim_mm.PrecisionOptimWrapper'
    wrapper.precision = precision
