"""What is measured: the model, the batch and the settings, said once for all candidates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from simmim_mm.acceleration import check_acceleration
from simmim_mm.datasets.transforms import RandomPatchMask
from simmim_mm.engine.config import find_config, load_config
from simmim_mm.masking import random_masks

PRECISIONS = ('fp32', 'bf16', 'fp16')


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings of a measurement; can be sent to other processes.

    Attributes:
        model: Name of a config without ``simmim_`` and ``.py``, such as ``'swin_tiny'``, or a config file.
        batch_size: Images a step.
        img_size: Side of the images in pixels; None for the config's.
        precision: ``'fp32'``, ``'bf16'`` or ``'fp16'`` for all candidates; None for what each does by default.
        acceleration: Arguments of :func:`~simmim_mm.acceleration.accelerate`; None for the config's.
        drop_path: Whether each candidate keeps its own rate of drop path. False is none for all.
        device: ``'cpu'`` or ``'cuda'``.
        threads: Of PyTorch; None for its own choice.
        peer_dir: Folder of the authors' code.
        backbone: Settings of the encoder that replace the config's, such as ``dict(arch='small')``.
        seed: Of weights, images and masks.
    """

    model: str = 'swin_tiny'
    batch_size: int = 8
    img_size: int | None = None
    precision: str | None = None
    acceleration: Mapping[str, Any] | None = None
    drop_path: bool = True
    device: str = 'cpu'
    threads: int | None = None
    peer_dir: str | None = None
    backbone: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0

    def replace(self, **changes: Any) -> Plan:
        """The same with other settings."""
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """To be written as JSON."""
        return dataclasses.asdict(self)


class Batch(NamedTuple):
    """What the loader would hand out.

    Attributes:
        images: (B, C, H, W) uint8.
        mask: (B, h, w) bool in cells of 32 px, 60 % of them hidden; True means hidden.
    """

    images: Tensor
    mask: Tensor


def read_config(plan: Plan) -> Config:
    """The config of a plan, with the plan's settings in it.

    Raises:
        ValueError: If a setting is out of range or does not fit the config.
        FileNotFoundError: If there is no such config.
    """
    if plan.batch_size < 1:
        raise ValueError(f'--batch-size {plan.batch_size} must be a whole number from 1')
    if plan.precision is not None and plan.precision not in PRECISIONS:
        raise ValueError(f'--precision {plan.precision!r} is unknown; use one of {", ".join(PRECISIONS)}')
    cfg = load_config(find_config(plan.model))
    if 'model' not in cfg or 'backbone' not in cfg.model or 'optim_wrapper' not in cfg:
        raise ValueError(f'--model {plan.model!r} has no model with a backbone to train; name a pre-training config')
    cfg.model.backbone.update(plan.backbone)
    if plan.img_size is not None:
        cfg.model.img_size = plan.img_size
        if 'img_size' in cfg.model.backbone:
            cfg.model.backbone.img_size = plan.img_size
    if plan.acceleration is not None:
        cfg.acceleration = dict(plan.acceleration)
    check_acceleration(cfg.get('acceleration'))
    return cfg


def make_batch(plan: Plan, channels: int, image_hw: tuple[int, int]) -> Batch:
    """Images of noise, and masks as in the paper.

    Args:
        plan: Batch size and seed.
        channels: Of the images.
        image_hw: (H, W)

    Returns:
        The batch, on the CPU.
    """
    grid_hw = RandomPatchMask(32, 0.6).grid_of(image_hw)
    masks = random_masks(plan.batch_size, grid_hw, 0.6, plan.seed)
    images = np.random.default_rng(plan.seed).integers(0, 256, (plan.batch_size, channels, *image_hw), dtype=np.uint8)
    tensors = torch.from_numpy(images), torch.from_numpy(masks)
    return Batch(*(tensor.pin_memory() for tensor in tensors)) if plan.device == 'cuda' else Batch(*tensors)
