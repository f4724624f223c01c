"""From a config to a Runner, and training."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from simmim_mm.acceleration import accelerate, check_acceleration
from simmim_mm.datasets import InfiniteSeededSampler
from simmim_mm.engine.checkpoints import check_input_channels, check_keys, read_checkpoint, read_run
from simmim_mm.engine.config_edits import LOADERS
from simmim_mm.engine.hooks import UnreadableImagesHook
from simmim_mm.engine.hooks.progress import close_progress
from simmim_mm.engine.image_check import warn_of_unlikely_images
from simmim_mm.engine.loader_failures import children_unnoticed, explained_failures
from simmim_mm.engine.loader_settings import check_loaders
from simmim_mm.engine.lost_processes import explained_losses
from simmim_mm.engine.places import check_places
from simmim_mm.engine.preflight import check_start, find_resumed, prepare
from simmim_mm.engine.resumed_head import check_head
from simmim_mm.engine.run_lock import run_lock
from simmim_mm.engine.schedulers import check_schedules
from simmim_mm.engine.sharding import ShardedRunner, check_wrapper, shards
from simmim_mm.engine.validation_check import check_validation
from simmim_mm.models import SimMIM

# Of which MMEngine makes its own where a config has none.
HOST_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
USED_LOADERS = ('train_dataloader', 'val_dataloader')
# Seconds without any batch after which a run stops instead of waiting for a worker that hangs. Below the ten minutes of
# NCCL, whose message would not say what the other processes wait for.
LOADER_TIMEOUT = 300


def build_runner(cfg: Config) -> Runner:
    """Builds the Runner of a config, in as many processes as the launcher started.

    Args:
        cfg: The config. Its entry ``acceleration`` has the arguments of :func:`~simmim_mm.acceleration.accelerate`.

    Returns:
        The Runner.
    """
    _drop_hooks(cfg)
    _limit_waiting(cfg)
    kind: type[Runner] = ShardedRunner if shards(cfg) else Runner
    if cfg.get('launcher', 'none') != 'none':
        if get_device() == 'cpu':
            _distribute_on_cpus(cfg)
        if kind is Runner:
            _set_wrapper(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else kind.from_cfg(cfg)
    print_log(f'Device: {get_device()}', logger='current')
    if 'acceleration' in cfg:
        accelerate(runner.model, **check_acceleration(cfg.acceleration))
    return runner


def _drop_hooks(cfg: Config) -> None:
    """Lets ``default_hooks.NAME=None`` leave out hooks of any name, which MMEngine does with its own alone."""
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None and name not in HOST_HOOKS]:
        del hooks[name]


def train(cfg: Config) -> Runner:
    """Trains the model of a config.

    Args:
        cfg: The config.

    Returns:
        The Runner, after training.

    Raises:
        FileNotFoundError: If data or a checkpoint to start from are missing; nothing is built and written then.
        LoaderError: If the data loader breaks down: a worker is killed or hangs, or shared memory runs out.
        LostProcessError: If another process of the run, or the network to it, has gone.
        ValueError: If the checkpoint is damaged, the warm-up is longer than the run (nothing is built then either), the
            training images do not fill one batch, settings of sampler or validation cannot work, or another run
            trains in the same work dir.
    """
    check_schedules(cfg)
    check_loaders(cfg, USED_LOADERS)
    check_wrapper(cfg)
    check_places(cfg, USED_LOADERS)
    check_start(cfg)
    with run_lock(cfg), explained_losses():
        find_resumed(cfg)
        return _train(cfg)


def _train(cfg: Config) -> Runner:
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
    first = _check_resumed(runner)
    prepare(runner)
    warn_of_unlikely_images(loader.dataset, model.data_preprocessor)
    with _summed_up(runner), explained_failures(runner):
        try:
            runner.train()
        finally:
            close_progress(runner)
    _warn_of_no_training(runner, first)
    return runner


def _warn_of_no_training(runner: Runner, first: int) -> None:
    """Says so where a resumed run was at its end already."""
    if runner.iter > first:
        return
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    name, end = ('epochs', runner.max_epochs) if by_epoch else ('iters', runner.max_iters)
    print_log(
        f'Nothing was trained: the checkpoint {runner._load_from} is at iteration {first}, and the run ends at '
        f'iteration {runner.max_iters} (train_cfg.max_{name}={end}); raise train_cfg.max_{name} to train longer',
        logger='current',
        level=logging.WARNING,
    )


@contextmanager
def _summed_up(runner: Runner) -> Iterator[None]:
    """Sums the data up when a run is stopped too, by an error or a signal."""
    try:
        yield
    except BaseException:
        with children_unnoticed():
            for hook in runner.hooks:
                if isinstance(hook, UnreadableImagesHook):
                    hook.sum_up(runner)
        raise


def _limit_waiting(cfg: Config) -> None:
    """Gives loaders a time limit, which PyTorch takes with workers only, as it does ``prefetch_factor``."""
    for name in LOADERS:
        loader = cfg.get(name)
        if loader and loader.get('num_workers', 0) == 0:
            loader.pop('timeout', None)
            loader.pop('prefetch_factor', None)
        elif loader:
            loader.setdefault('timeout', LOADER_TIMEOUT)


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


def _check_resumed(runner: Runner) -> int:
    """Refuses a checkpoint of another model, of which MMEngine would load what fits and go on.

    One of another target or loss has the same keys, and would go on towards something else. One that only lends its
    weights (``load_from``) may be of another model, but not of images with other channels.

    Returns:
        The iteration that the run goes on from; -1 if it is no resumed one, or the checkpoint does not say it.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not runner._resume:
        if runner._load_from and os.path.isfile(runner._load_from):
            check_input_channels(model.state_dict(), read_checkpoint(runner._load_from), runner._load_from)
        return -1
    checkpoint = runner._load_from  # find_resumed has named one
    if not os.path.isfile(checkpoint):
        return -1
    state, meta = read_run(checkpoint)  # of other models too: code in a file is refused
    if isinstance(model, SimMIM):
        check_keys(model, state, checkpoint)
        check_head(runner.cfg.model, meta, checkpoint)
    return int(meta.get('iter', -1))


def _set_wrapper(cfg: Config) -> None:
    """Takes MMEngine's settings of ``DistributedDataParallel``, but for gradients.

    They are views of the buckets in which they are summed: one copy of all gradients less, in time and in memory.

    Raises:
        ValueError: If a static graph is asked for in a run that accumulates gradients.
    """
    wrapper = cfg.get('model_wrapper_cfg') or {}
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    if wrapper['type'].rpartition('.')[2] == 'MMDistributedDataParallel':
        wrapper.setdefault('broadcast_buffers', False)
        wrapper.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
        wrapper.setdefault('gradient_as_bucket_view', True)
        counts = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        if wrapper.get('static_graph') and counts > 1:  # an internal assertion of PyTorch's fails in the first step
            raise ValueError(
                f'model_wrapper_cfg.static_graph=True does not go with optim_wrapper.accumulative_counts={counts} in '
                'PyTorch; delete one of them'
            )
    if get_device() == 'cpu':
        wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def _distribute_on_cpus(cfg: Config) -> None:
    """Makes the process group that MMEngine would make, but for its ``torch.cuda.set_device``.

    MMEngine uses a group that is there already. Can go when its launchers know machines without accelerators.
    """
    if not torch.distributed.is_initialized():
        if cfg.launcher == 'slurm':
            _read_slurm_environment()
        torch.distributed.init_process_group('gloo')


def _read_slurm_environment() -> None:
    """Translates SLURM's variables to PyTorch's."""
    os.environ.setdefault('RANK', os.environ['SLURM_PROCID'])
    os.environ.setdefault('WORLD_SIZE', os.environ['SLURM_NTASKS'])
    os.environ.setdefault('LOCAL_RANK', os.environ.get('SLURM_LOCALID', '0'))
    os.environ.setdefault('MASTER_ADDR', os.environ.get('SLURM_LAUNCH_NODE_IPADDR', '127.0.0.1'))
    os.environ.setdefault('MASTER_PORT', '29500')
