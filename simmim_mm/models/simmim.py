"""SimMIM: hide, encode, decode, score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine import dist
from mmengine.model import BaseModel
from torch import Tensor

from simmim_mm.masking import hidden_cells, regrid
from simmim_mm.models.build import build_encoder, build_head, build_neck, build_preprocessor, check_slots
from simmim_mm.models.companions import NOTHING_RECONSTRUCTED, build_companion, check_second_mask
from simmim_mm.models.context_check import check_decoder_looks_around
from simmim_mm.models.probe import probe_backbone
from simmim_mm.models.stems import find_stem
from simmim_mm.registry import MODELS


class Reconstruction(NamedTuple):
    """What a model makes of masked images.

    Attributes:
        images: (B, C, H, W), predicted, normalised; the visible part is predicted too.
        hidden: (B, H, W) bool, what the model did not see.
    """

    images: Tensor
    hidden: Tensor


@MODELS.register_module()
class SimMIM(BaseModel):
    """Masked image modelling with any encoder (arXiv 2111.09886).

    Sizes that follow from each other are not repeated: the channels of the images are the number of means of the
    data preprocessor, and one forward pass at build time tells the rest.

    Args:
        backbone: Config of the encoder, a class of any host package whose last output is (B, D, h, w).
        neck: Config of the decoder.
        head: Config of the head: target and loss.
        masker: Config of the masker.
        data_preprocessor: Config of the preprocessor.
        img_size: Side of the training images or (height, width), to check the encoder with when it is built; by
            default the backbone's, or 192. Images of other sizes can follow, if the encoder takes them.
        companion: Config of a second objective, such as ``ContrastiveCompanion``; none by default. One with
            ``alone=True`` takes the place of the reconstruction: the model then has no neck and no head.
        init_cfg: MMEngine's.

    Raises:
        ValueError: If the parts contradict each other or ``img_size``, with what to change.
    """

    backbone: Any
    masker: Any
    neck: Any
    head: Any
    companion: Any
    data_preprocessor: Any

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any] | None = None,
        head: dict[str, Any] | None = None,
        masker: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        img_size: int | Sequence[int] | None = None,
        companion: dict[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        check_slots(backbone, neck=neck, head=head, masker=masker, data_preprocessor=data_preprocessor)
        preprocessor = build_preprocessor(data_preprocessor)
        super().__init__(preprocessor, init_cfg)
        self.backbone, self.masker, self.layout, image_hw = build_encoder(
            backbone, masker, preprocessor.channels, img_size
        )
        self.image_hw = image_hw
        self._probed_sizes = {image_hw}
        self.companion = None if companion is None else build_companion(companion, self.layout.width, neck, head)
        if self.companion is not None and self.companion.alone:
            self.neck = self.head = None
            return
        self.head = build_head(head, preprocessor, self.layout.stride, image_hw)
        self.neck = build_neck(neck, self.head, self.layout)
        check_decoder_looks_around(self.neck, self.masker, self.layout, image_hw)

    def forward(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        mode: str = 'tensor',
        other_mask: Tensor | None = None,
        **meta: Any,
    ) -> Any:
        """MMEngine's entry.

        Args:
            inputs: (B, C, H, W), normalised.
            mask: (B, h, w) bool, True means hidden. Needed but for ``mode='tensor'``.
            mode: ``'loss'``, ``'predict'``, or ``'tensor'`` for the encoder's outputs of unmasked images.
            other_mask: (B, h', w') bool, of the second view that a companion compares in ``mode='loss'``. Predictions
                are of the first view.
            **meta: What else the loader collated, such as ``img_path``.

        Returns:
            A dict of losses, a list of predictions, or the encoder's outputs.
        """
        if mode not in ('loss', 'predict', 'tensor'):
            raise ValueError(f"mode={mode!r} is unknown; use 'loss', 'predict' or 'tensor'")
        if mode == 'tensor':
            return self.backbone(inputs)
        if mask is None:
            raise ValueError(f"mode={mode!r} needs a mask; put dict(type='RandomPatchMask') into the pipeline")
        check_second_mask(self.companion, other_mask)
        return self.loss(inputs, mask, other_mask) if mode == 'loss' else self.predict(inputs, mask)

    def loss(self, inputs: Tensor, mask: Tensor, other_mask: Tensor | None = None) -> dict[str, Tensor]:
        """The training loss. A companion makes two views of each image; the reconstruction is scored on both.

        Args:
            inputs: (B, C, H, W), normalised.
            mask: (B, h, w) bool.
            other_mask: (B, h', w') bool, of the second view.

        Returns:
            ``loss``: a scalar. With a companion, ``loss_reconstruction`` (unless it trains alone) and what its ``loss``
            returns.
        """
        grid_hw = self.grid_of(inputs.shape[-2:])
        if self.companion is not None:
            inputs, mask = self.companion.views(inputs, mask, other_mask)
        if self.head is None:
            return self.companion.loss(*self.masker.encode(self.backbone, inputs, mask))
        cells = hidden_cells(self.head.scored(mask), grid_hw)
        features, hidden = self.masker.encode(self.backbone, inputs, mask)
        prediction = self.neck(features, hidden, cells)
        losses = self.head.loss(prediction, inputs, hidden, cells)
        return losses if self.companion is None else self.companion.join(losses, features, hidden)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sums the losses; what is logged is their mean over all processes, not the first one's share.

        Args:
            losses: Scalars by name.

        Returns:
            This process's loss to differentiate, and the values to log.
        """
        loss, log_vars = super().parse_losses(losses)
        if dist.get_world_size() > 1:
            values = torch.stack([value.detach() for value in log_vars.values()])
            dist.all_reduce(values, op='mean')  # queued on the device: the host does not wait
            log_vars = dict(zip(log_vars, values.unbind(), strict=True))
        return loss, log_vars

    def reconstruct(self, inputs: Tensor, mask: Tensor) -> Reconstruction:
        """Predicts whole images from their visible part.

        Args:
            inputs: (B, C, H, W), normalised.
            mask: (B, h, w) bool.

        Returns:
            The predicted images and what was hidden.

        Raises:
            ValueError: If the target cannot be turned into images, or the model was built without decoder, for a
                companion alone.
        """
        if self.head is not None and not self.head.shows_images:
            raise ValueError(
                f'{type(self.head.target).__name__} is not turned into images; use predict_map, or '
                'draw_reconstructions of simmim_mm.visualization'
            )
        prediction, hidden = self.predict_map(inputs, mask)
        images = self.head.target.to_images(self.head.estimate(prediction), inputs)
        return Reconstruction(images, regrid(hidden, (inputs.shape[-2], inputs.shape[-1])))

    def predict_map(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts the target of whole images from their visible part.

        Args:
            inputs: (B, C, H, W), normalised.
            mask: (B, h, w) bool.

        Returns:
            The decoder's output (B, head.out_channels, H / target.stride, W / target.stride) in fp32, of which
            ``head.estimate`` makes values of the target; and what was hidden (B, h', w') bool.

        Raises:
            ValueError: If the model was built without decoder, for a companion alone.
        """
        if self.head is None:
            raise ValueError(NOTHING_RECONSTRUCTED)
        self.grid_of(inputs.shape[-2:])
        features, hidden = self.masker.encode(self.backbone, inputs, mask)
        return self.neck(features, hidden).float(), hidden

    def predict(self, inputs: Tensor, mask: Tensor) -> list[dict[str, Tensor]]:
        """Predictions for evaluators.

        Args:
            inputs: (B, C, H, W), normalised.
            mask: (B, h, w) bool.

        Returns:
            For each image its ``image`` (C, H, W), ``hidden`` (H, W) bool and ``hidden_loss``, a scalar; and
            ``reconstruction`` (C, H, W), where the target can be turned into images, with ``display_units`` (2, C), a
            factor and a summand that bring both to units of 0 to 255.
        """
        prediction, hidden = self.predict_map(inputs, mask)
        shown = {
            'image': inputs,
            'hidden': regrid(hidden, (inputs.shape[-2], inputs.shape[-1])),
            'hidden_loss': self.head.hidden_losses(prediction, inputs, hidden, self.grid_of(inputs.shape[-2:])),
        }
        if self.head.shows_images:
            shown['reconstruction'] = self.head.target.to_images(self.head.estimate(prediction), inputs)
            if hasattr(self.data_preprocessor, 'display_units'):  # one of a user's own may know no range
                shown['display_units'] = torch.stack(self.data_preprocessor.display_units()).expand(len(inputs), -1, -1)
        return [{name: values[number] for name, values in shown.items()} for number in range(len(inputs))]

    def grid_of(self, image_hw: Sequence[int]) -> tuple[int, int]:
        """The grid of the last feature map.

        A size that was not seen before is tried on the encoder first, as ``img_size`` was when it was built.

        Args:
            image_hw: (H, W) of images.

        Returns:
            (h, w)

        Raises:
            ValueError: If the encoder does not take images of this size.
        """
        height, width = image_hw = (image_hw[0], image_hw[1])
        stride = self.layout.stride
        if height % stride or width % stride:
            raise ValueError(
                f'the encoder makes one feature of {stride}x{stride} pixels, which do not tile images of '
                f'{height}x{width}; change the size of the crop in the pipeline'
            )
        if image_hw not in self._probed_sizes:
            stem = find_stem(self.backbone, self.masker.stem)
            probe_backbone(self.backbone, stem, self.data_preprocessor.channels, image_hw)
            self._probed_sizes.add(image_hw)
        return height // stride, width // stride
