"""Validation for a config that has none: on a held-out part of its training images."""

from __future__ import annotations

import copy
import logging
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.transforms import MaskGenerator, RandomFlip, RandomResizedCrop
from simmim_mm.options import is_number
from simmim_mm.registry import DATASETS, TASK_UTILS, TRANSFORMS

# What the best checkpoint is chosen by: every target and loss has it.
OBJECTIVE = 'val/hidden_objective'


def hold_out(cfg: Config, share: float, path: str) -> None:
    """Keeps a share of the training images for validation.

    The held-out images go through the training pipeline, with central crops of the same size in the place of random
    ones, no flip, and masks by file: those of the end of training, where ratios follow a schedule. The best checkpoint
    by ``val/hidden_objective`` is kept, unless the config says by what. A validation that the config has gives way.

    Args:
        cfg: The config. Changed in place.
        share: About which share of the images, between 0 and 1.
        path: Of the config, for messages.

    Raises:
        ValueError: If the share is none, or the training images or their pipeline are of another package.
    """
    if not is_number(share) or not 0 < share < 1:
        raise ValueError(f'--held-out {share} must be a share of the training images between 0 and 1, such as 0.02')
    dataset = cfg.train_dataloader.dataset
    while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
        dataset = dataset.dataset
    kind = dataset.get('type')
    if not _is_a(DATASETS, kind, UnlabelledImages):
        raise ValueError(
            f'--held-out does not fit {path}: its training data set is {kind}, which cannot be split by file name; use '
            'UnlabelledImages, ShardedImages or HostImages, or write a val_dataloader'
        )
    if dataset.get('split') is not None:
        raise ValueError(
            f'--held-out {share} does not fit {path}, whose training data set has split={dataset.split!r} already; '
            'leave one of them out'
        )
    if cfg.get('val_dataloader') is not None:
        print_log(
            f'--held-out {share} validates on a part of the training folder that is not trained on, in place of what '
            "the config validates on; where the config's validation images lie in the training folder, they are images "
            'like all others now',
            logger='current',
            level=logging.WARNING,
        )
    held_out = copy.deepcopy(dataset)
    dataset.update(split='train', held_out=share)
    held_out.update(split='held_out', held_out=share, fixed=True, pipeline=_still(dataset.get('pipeline', [])))
    train = cfg.train_dataloader
    # A new one: what another kind of loader has for training does not fit here.
    cfg.val_dataloader = dict(
        batch_size=train.get('batch_size') or 64,
        num_workers=train.get('num_workers', 0),
        persistent_workers=train.get('persistent_workers', False),
        pin_memory=train.get('pin_memory', False),
        sampler=dict(type='simmim_mm.SeededSampler', shuffle=False, seed=0),
        collate_fn=dict(type='simmim_mm.stack_samples'),
        worker_init_fn=dict(type='simmim_mm.start_worker'),
        dataset=held_out,
    )
    cfg.val_evaluator = dict(type='simmim_mm.MaskedReconstructionMetric')
    cfg.val_cfg = {}
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if checkpoint and checkpoint.get('save_best') is None:
        checkpoint.update(save_best=OBJECTIVE, rule='less')


def _still(pipeline: Any) -> list[Any]:
    """A pipeline without what is random but the mask, as configs."""
    steps = []
    for step in pipeline:
        kind = step.get('type') if isinstance(step, dict) else None
        if _is_a(TRANSFORMS, kind, RandomFlip):
            continue
        if _is_a(TRANSFORMS, kind, RandomResizedCrop):
            step = dict(type='simmim_mm.CenterCrop', size=step['size'])
        elif _is_a(TRANSFORMS, kind, MaskGenerator):
            if step.get('key') == 'other_mask':  # of a second view, which validation does not have
                continue
            if isinstance(step.get('mask_ratio'), dict):
                step = {**step, 'mask_ratio': TASK_UTILS.build(step['mask_ratio']).ratio(1.0)}
        steps.append(copy.deepcopy(step))
    return steps


def _is_a(registry: Any, kind: Any, base: type) -> bool:
    found = registry.get(kind) if isinstance(kind, str) else kind
    return isinstance(found, type) and issubclass(found, base)
