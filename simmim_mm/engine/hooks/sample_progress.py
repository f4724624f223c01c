"""Lets samples know how far training is."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from simmim_mm.datasets.sampler import Pace, SeededSampler
from simmim_mm.datasets.transforms import MaskGenerator, RandomResizedCrop
from simmim_mm.datasets.transforms.masks import RatioSchedule
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.models import SimMIM
from simmim_mm.registry import HOOKS


@HOOKS.register_module()
class SampleProgressHook(Hook):
    """Tells the sampler how long the run is, for what changes in its course: ratio schedules and sizes of batches.

    The moment travels to the loader's workers with each sample's index, so ratio and size follow from the iteration
    that uses the sample: not from when a worker made it, and the same after a resume. A scheduled ratio is logged as
    ``mask_ratio``, the height of images whose sizes follow each other as ``image_height``.
    """

    priority = 'NORMAL'

    def __init__(self) -> None:
        self._pace: Pace | None = None
        self._schedules: list[RatioSchedule] = []
        self._crops: list[RandomResizedCrop] = []

    def before_train(self, runner: Runner) -> None:
        """Measures the run, and tries all sizes of batches on the model.

        Raises:
            ValueError: If the sampler cannot hand the moment on, or encoder or target do not take one of the sizes.
        """
        loader, sampler = runner.train_dataloader, runner.train_dataloader.sampler
        transforms = [
            transform
            for dataset in base_datasets(loader.dataset)
            for transform in getattr(dataset.pipeline, 'transforms', [])
        ]
        generators = [transform for transform in transforms if isinstance(transform, MaskGenerator)]
        self._schedules = [
            generator.mask_ratio for generator in generators if isinstance(generator.mask_ratio, RatioSchedule)
        ]
        crops = [transform for transform in transforms if isinstance(transform, RandomResizedCrop)]
        self._crops = [crop for crop in crops if crop.begins is not None]
        sizes = [size for crop in crops for size in crop.sizes or ()]
        if isinstance(sampler, SeededSampler) and loader.batch_size:
            self._pace = sampler.pace = Pace(loader.batch_size, len(loader), runner.max_iters)
        elif self._schedules or sizes:
            raise ValueError(
                f'mask ratios or sizes change in the course of the run, which {type(sampler).__name__} does not hand '
                "on to the samples; use sampler=dict(type='SeededSampler') in train_dataloader, without batch_sampler"
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if isinstance(model, SimMIM):
            for size in sizes:
                model.grid_of(size)
                if model.head is not None:
                    _try_target(model, size)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Logs ratio and size of this iteration, if they follow the progress of the run."""
        if self._pace is None:
            return
        progress = self._pace.moment(0, runner.iter * self._pace.batch_size).progress
        if self._schedules:
            runner.message_hub.update_scalar('train/mask_ratio', self._schedules[0].ratio(progress))
        if self._crops:
            runner.message_hub.update_scalar('train/image_height', self._crops[0].size_at(progress)[0])


@torch.no_grad()
def _try_target(model: SimMIM, image_hw: tuple[int, int]) -> None:
    """Makes the target of an empty image, so that a size that it does not take is not found hours later."""
    height, width = image_hw
    images = next(model.parameters()).new_zeros(1, model.data_preprocessor.channels, height, width)
    try:
        model.head.target(images)
    except Exception as error:
        raise ValueError(
            f'{type(model.head.target).__name__} does not take images of {height}x{width}, one of the sizes of '
            f'RandomResizedCrop: {error}; change sizes in the pipeline, or model.head.target'
        ) from error
