"""Short runs into which tests inject numbers that are not finite."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from step_runs import tiny_config
from tiny import tiny_vit

NAN = math.nan
NUMBERS = itertools.count()
# A weight in the middle of the network, which the loss depends on through everything behind it.
WEIGHT = 'backbone.layers.0.ln2.weight'


def float_folder(folder: Path, number: int = 8) -> str:
    """Float images of noise from 0 to 1, of three bands, in TIFF files."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(number):
        tifffile.imwrite(folder / f'{index}.tif', rng.random((64, 64, 3), dtype=np.float32), photometric='rgb')
    return str(folder)


def guarded_run(*args: Any, **kwargs: Any) -> Runner:
    """The Runner of :func:`guarded_config`; not started yet."""
    return Runner.from_cfg(guarded_config(*args, **kwargs))


def guarded_config(
    data_root: str, work_dir: Path, *hooks: dict, iters: int = 6, change: Callable[[Config], Any] | None = None
) -> Config:
    """The reference recipe with a ViT of one layer, on float images, whose log interval is one iteration."""

    def prepare(cfg: Config) -> None:
        cfg.model.backbone = tiny_vit()
        cfg.model.data_preprocessor = dict(type='MaskedImagePreprocessor', value_range=(0, 1))
        cfg.train_dataloader.dataset.pipeline[0] = dict(type='LoadImage', channels=3, depth='stored')
        cfg.train_dataloader.sampler.type = 'InfiniteSeededSampler'
        cfg.param_scheduler.by_epoch = cfg.param_scheduler.convert_to_iter_based = False
        cfg.param_scheduler.warmup = 1
        cfg.default_hooks.logger.interval = 1
        cfg.optim_wrapper.optimizer.lr = 1e-2
        cfg.acceleration = dict(preset='off')
        cfg.custom_hooks = [*cfg.custom_hooks, *hooks]
        cfg.experiment_name = f'guarded-{next(NUMBERS)}'  # a message hub of its own
        if change is not None:
            change(cfg)

    return tiny_config(data_root, work_dir, iters, prepare)


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class Inject(Hook):
    """Puts a NaN into the image, a weight or a gradient of some iterations, counted from 0."""

    def __init__(self, where: str, iterations: Sequence[int], value: float = NAN, rank: int = 0) -> None:
        self.where, self.iterations, self.value, self.rank = where, iterations, value, rank
        self.files: dict[int, list[str]] = {}
        self._gradient: Any = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Injects."""
        self.files[runner.iter] = list(data_batch['img_path'])
        if runner.iter not in self.iterations or runner.rank != self.rank:
            return
        if self.where == 'image':
            data_batch['inputs'][1, 2, 33, 34] = self.value
            return
        weight = runner.model.get_parameter(WEIGHT)
        if self.where == 'weight':
            with torch.no_grad():
                weight[3] = self.value
        else:
            self._gradient = weight.register_hook(lambda gradient: gradient + self.value)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Takes the hook off."""
        if self._gradient is not None:
            self._gradient.remove()
            self._gradient = None


@HOOKS.register_module(force=True)
class LeaveOut(Hook):
    """What the guard is compared with: batches of some iterations that never reach the optimiser."""

    def __init__(self, iterations: Sequence[int]) -> None:
        self.iterations = iterations

    def before_train(self, runner):
        """Lets the model do nothing in these iterations."""
        step = runner.model.train_step

        def train_step(data, optim_wrapper):
            return {} if runner.iter in self.iterations else step(data, optim_wrapper)

        runner.model.train_step = train_step


@HOOKS.register_module(force=True)
class ReadLater(Hook):
    """Has the guard read its outcomes one update late, as on CUDA."""

    priority = 'LOWEST'

    def before_train(self, runner):
        """After the guard is there."""
        runner.optim_wrapper.guard.later = True


def state_of(runner: Runner) -> dict[str, torch.Tensor]:
    """All tensors of a run: weights, buffers, and the optimiser's."""
    moments = {
        f'{number}.{name}': torch.as_tensor(value)
        for number, values in runner.optim_wrapper.optimizer.state_dict()['state'].items()
        for name, value in values.items()
        if value is not None
    }
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return {**model.state_dict(), **moments}


def assert_same(one: Runner, other: Runner) -> None:
    """To the last bit."""
    first, second = state_of(one), state_of(other)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
        assert torch.isfinite(value).all(), key
