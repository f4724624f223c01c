"""Peers whose parameters have other names, in other layouts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from simmim_mm.benchmark.candidates import LEARNING_RATE, Candidate, to_training
from simmim_mm.engine.precision import PrecisionOptimWrapper
from simmim_mm.masking import expand
from simmim_mm.transfer.recognise import DERIVED, translate, translate_back


class TranslatedCandidate(Candidate):
    """A peer that takes normalised images and a mask of patches, and whose names are in our key tables.

    Its loop is the plain one: AdamW, gradients clipped at 5, one group; normalised fp32 images come from the loader.

    Attributes:
        format_name: The peer's name in the key tables.
        patch: Pixels per side of a patch.
    """

    format_name: str
    patch: int

    def prepare(self, model: nn.Module, default_precision: str) -> None:
        """Loads the weights and makes optimiser and batch.

        Args:
            model: The peer's.
            default_precision: What it runs in, where the plan does not say.

        Raises:
            ValueError: If it lacks a weight, or has one that ours lacks.
        """
        setup = self.setup
        weights = self._their_names(setup.reference)
        missing, unexpected = model.load_state_dict(weights, strict=False)
        missing = [key for key in missing if not key.endswith(DERIVED)]
        if missing or unexpected:
            raise ValueError(
                f'{self.name} is another network: it lacks {unexpected[:3]} and has {missing[:3]} beside ours; use '
                '--against plain'
            )
        self.model = to_training(model, setup)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
        self.precision = setup.plan.precision or default_precision
        clip = dict(max_norm=5.0)
        if self.precision == 'fp32':
            self.optim_wrapper = OptimWrapper(optimizer, clip_grad=clip)
        else:
            self.optim_wrapper = PrecisionOptimWrapper(optimizer, precision=self.precision, clip_grad=clip)
        images, mask = setup.batch
        preprocessor = setup.reference.data_preprocessor
        self._images = (images.float() - preprocessor.mean) / preprocessor.std
        grid_hw = (images.shape[-2] // self.patch, images.shape[-1] // self.patch)
        self._mask = expand(mask, grid_hw).to(torch.int64)

    def _their_names(self, model: nn.Module) -> dict[str, Tensor]:
        encoder = {key.removeprefix('backbone.'): value for key, value in model.backbone.state_dict().items()}  # type: ignore
        weights, table = translate_back(self.setup.family, self.format_name, encoder, inside_simmim=True)
        assert table.mask_token is not None
        weights[table.mask_token] = model.masker.mask_token.detach()  # type: ignore
        for name, value in model.neck.state_dict().items():  # type: ignore
            weights[f'{table.decoder}.{name.rpartition(".")[2]}'] = value
        return weights

    def our_names(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See the base class."""
        found = translate(values, self.name, self.format_name)
        ours = {f'backbone.{key}': value for key, value in found.encoder.items()}
        ours |= {f'neck.decoder.0.{key}': value for key, value in found.decoder.items()}
        return ours if found.mask_token is None else ours | {'masker.mask_token': found.mask_token}

    def on_device(self) -> tuple[Tensor, Tensor]:
        """Images and mask, copied as these loops do."""
        return self._images.to(self.device, non_blocking=True), self._mask.to(self.device, non_blocking=True)
