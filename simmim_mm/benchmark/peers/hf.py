"""SimMIM of Hugging Face's transformers."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

from simmim_mm.benchmark.candidates import Setup
from simmim_mm.benchmark.peers.mmpretrain import check_plain_pixels
from simmim_mm.benchmark.peers.translated import TranslatedCandidate
from simmim_mm.transfer.targets.hf import config_of

CLASSES = {
    'SwinConfig': 'SwinForMaskedImageModeling',
    'Swinv2Config': 'Swinv2ForMaskedImageModeling',
    'ViTConfig': 'ViTForMaskedImageModeling',
}


class HuggingFaceCandidate(TranslatedCandidate):
    """``SwinForMaskedImageModeling``, ``Swinv2...`` or ``ViT...`` with the sizes of our config.

    Drop path is 0, as our conversion sets it. fp32 by default, as in transformers' ``Trainer``.

    Raises:
        ValueError: If transformers has no SimMIM around this encoder.
        ImportError: If it is not installed.
    """

    name, format_name = 'hf', 'hf'

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        check_plain_pixels(setup, 'transformers')
        backbone = {**setup.cfg.model.backbone, 'img_size': setup.reference.image_hw}
        if setup.family not in ('SwinTransformer', 'SwinTransformerV2', 'VisionTransformer'):
            raise ValueError(f'transformers has no SimMIM around {setup.family}; use --against plain')
        config = config_of(setup.reference.backbone, backbone)
        self.patch = config.patch_size
        torch.manual_seed(setup.plan.seed)
        model = getattr(importlib.import_module('transformers'), CLASSES[type(config).__name__])(config)
        self.prepare(model, 'fp32')
        self.about = f'{self.precision}, {type(model).__name__}, drop path 0'
        self._mask = self._mask.flatten(1).bool()

    def loss(self) -> Tensor:
        """See the base class."""
        images, mask = self.on_device()
        return self.model(pixel_values=images, bool_masked_pos=mask).loss
