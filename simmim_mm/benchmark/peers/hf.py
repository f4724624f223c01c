"""SimMIM of Hugging Face's transformers."""

from __future__ import annotations

import torch
from torch import Tensor

from simmim_mm.benchmark.candidates import Setup
from simmim_mm.benchmark.peers.plain_pixels import check_plain_pixels
from simmim_mm.benchmark.peers.translated import TranslatedCandidate
from simmim_mm.transfer.targets.hf import simmim_class


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
        kind, config = simmim_class(setup.reference.backbone, backbone)
        self.patch = config.patch_size
        torch.manual_seed(setup.plan.seed)
        self.prepare(kind(config), 'fp32')
        self.about = f'{self.precision}, {kind.__name__}, drop path 0'
        self._mask = self._mask.flatten(1).bool()

    def loss(self) -> Tensor:
        """See the base class."""
        images, mask = self.on_device()
        return self.model(pixel_values=images, bool_masked_pos=mask).loss
