"""From a config file and command-line options to a Runner."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.hub import get_config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner, find_latest_checkpoint

from simmim_mm.acceleration import accelerate, check_acceleration
from simmim_mm.datasets import InfiniteSeededSampler
from simmim_mm.engine.channels import spread_channels
from simmim_mm.engine.checkpoints import check_input_channels, check_keys, read_checkpoint, read_run
from simmim_mm.engine.config_edits import LOADERS, check_backbone_loads, set_data_root, set_pretrained
from simmim_mm.engine.image_check import warn_of_unlikely_images
from simmim_mm.engine.preflight import forget_missing_resume, merge_options, prepare
from simmim_mm.engine.resumed_head import check_head
from simmim_mm.engine.validation_check import check_validation
from simmim_mm.models import SimMIM

# What MMEngine reads from a config beside the arguments of its Runner.
HOST_KEYS = ('custom_imports', 'find_unused_parameters', 'model_wrapper_cfg', 'runner_type', 'sync_bn')
# What we read from a config beside those.
OWN_KEYS = ('acceleration',)


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
    if resume is not None and resume != 'auto' and not os.path.isfile(resume):
        raise FileNotFoundError(f'checkpoint {resume!r} to resume from does not exist (seen from {os.getcwd()})')
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
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
    merge_options(cfg, options, cfg_options)
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
    return parser.parse_args(['--cfg-options', *cfg_options]).cfg_options or {}


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


def build_runner(cfg: Config) -> Runner:
    """Builds the Runner of a config, in as many processes as the launcher started.

    Args:
        cfg: The config. Its entry ``acceleration`` has the arguments of :func:`~simmim_mm.acceleration.accelerate`.

    Returns:
        The Runner.
    """
    if cfg.get('launcher', 'none') != 'none' and get_device() == 'cpu':
        _distribute_on_cpus(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    print_log(f'Device: {get_device()}', logger='current')
    if 'acceleration' in cfg:
        accelerate(runner.model, **check_acceleration(cfg.acceleration))
    return runner


def train(cfg: Config) -> Runner:
    """Trains the model of a config.

    Args:
        cfg: The config.

    Returns:
        The Runner, after training.

    Raises:
        ValueError: If the training images do not fill one batch, or settings of sampler or validation cannot work.
    """
    forget_missing_resume(cfg)
    runner = build_runner(cfg)
    loader = runner.train_dataloader
    if len(loader) == 0:
        raise ValueError(
            f'{len(loader.dataset)} training images do not fill one batch of {loader.batch_size} in each of '
            f'{runner.world_size} processes; add --cfg-options train_dataloader.batch_size='
            f'{max(1, len(loader.dataset) // runner.world_size)} (with --auto-scale-lr), or less'
        )
    _check_endless_samplers(runner)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    check_validation(runner.val_loop, model)
    _check_resumed(runner)
    prepare(runner)
    warn_of_unlikely_images(loader.dataset, model.data_preprocessor)
    runner.train()
    return runner


def _check_endless_samplers(runner: Runner) -> None:
    if isinstance(runner.train_dataloader.sampler, InfiniteSeededSampler) and not isinstance(
        runner.train_loop, IterBasedTrainLoop
    ):
        raise ValueError(
            "InfiniteSeededSampler has no end, and train_cfg counts epochs; use sampler=dict(type='SeededSampler') in "
            "train_dataloader, or train_cfg=dict(type='IterBasedTrainLoop', max_iters=...)"
        )
    if runner.val_loop is not None and isinstance(runner.val_dataloader.sampler, InfiniteSeededSampler):
        raise ValueError(
            "InfiniteSeededSampler has no end; use dict(type='SeededSampler', shuffle=False) in val_dataloader"
        )


def _check_resumed(runner: Runner) -> None:
    """Refuses a checkpoint of another model, of which MMEngine would load what fits and go on.

    One of another target or loss has the same keys, and would go on towards something else. One that only lends its
    weights (``load_from``) may be of another model, but not of images with other channels.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not runner._resume:
        if runner._load_from and os.path.isfile(runner._load_from):
            check_input_channels(model.state_dict(), read_checkpoint(runner._load_from), runner._load_from)
        return
    checkpoint = runner._load_from or find_latest_checkpoint(runner.work_dir)
    if checkpoint is not None and isinstance(model, SimMIM):
        state, meta = read_run(checkpoint)
        check_keys(model, state, checkpoint)
        check_head(runner.cfg.model, meta, checkpoint)


def _distribute_on_cpus(cfg: Config) -> None:
    """Makes the process group that MMEngine would make, but for its ``torch.cuda.set_device``.

    MMEngine uses a group that is there already. Can go when its launchers know machines without accelerators.
    """
    if not torch.distributed.is_initialized():
        if cfg.launcher == 'slurm':
            _read_slurm_environment()
        torch.distributed.init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or {}
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    wrapper.setdefault('broadcast_buffers', False)
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def _read_slurm_environment() -> None:
    """Translates SLURM's variables to PyTorch's."""
    os.environ.setdefault('RANK', os.environ['SLURM_PROCID'])
    os.environ.setdefault('WORLD_SIZE', os.environ['SLURM_NTASKS'])
    os.environ.setdefault('LOCAL_RANK', os.environ.get('SLURM_LOCALID', '0'))
    os.environ.setdefault('MASTER_ADDR', os.environ.get('SLURM_LAUNCH_NODE_IPADDR', '127.0.0.1'))
    os.environ.setdefault('MASTER_PORT', '29500')
