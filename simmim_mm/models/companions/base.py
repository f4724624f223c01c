"""What all companions share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from simmim_mm.models.derive import build_derived

NOTHING_RECONSTRUCTED = (
    'a model with companion.alone=True has no decoder and reconstructs nothing; delete ReconstructionHook from '
    'custom_hooks, and val_dataloader, val_cfg and val_evaluator'
)


class Companion(BaseModule):
    """A second objective, on features of two views of each image.

    Args:
        alone: Whether it takes the place of the reconstruction; the model then has no decoder and no head.
        init_cfg: MMEngine's.
    """

    def __init__(self, alone: bool = False, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.alone = alone

    @abstractmethod
    def views(self, images: Tensor, mask: Tensor, other_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Makes the batch to encode.

        Args:
            images: (B, C, H, W), normalised.
            mask: (B, h, w) bool.
            other_mask: (B, h', w') bool, or None where the pipeline draws one mask alone.

        Returns:
            Images (B', C, H, W) and their masks (B', h'', w'') bool.
        """

    @abstractmethod
    def loss(self, features: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Scores the last feature maps (B', D, h, w) of the views, of which ``hidden`` (B', h', w') was hidden.

        Returns:
            Scalars by name. Those with ``loss`` in their names are added to the reconstruction loss; the others,
            without gradient, are logged.
        """

    def join(self, losses: dict[str, Tensor], features: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """The losses of the reconstruction beside this one's.

        Args:
            losses: Of the head. ``loss`` becomes ``loss_reconstruction``: MMEngine logs the sum as ``loss``, which a
                part of that name would overwrite.
            features: See :meth:`loss`, for this and the next.
            hidden: What was hidden.

        Returns:
            All of them.
        """
        parts = {'loss_reconstruction' if name == 'loss' else name: value for name, value in losses.items()}
        return {**parts, **self.loss(features, hidden)}


def build_companion(cfg: dict[str, Any], in_channels: int, neck: dict | None, head: dict | None) -> Companion:
    """Builds a companion and checks that it fits the rest of the model's config.

    Args:
        cfg: Its config.
        in_channels: Width of the encoder's last feature map.
        neck: Config of the decoder.
        head: Config of the head.

    Returns:
        The companion.

    Raises:
        ValueError: If the config is that of something else, or there is a decoder or a head that it leaves no use for.
    """
    companion = build_derived(cfg, 'companion', in_channels=in_channels)
    if not isinstance(companion, Companion):
        raise ValueError(f"model.companion is a {type(companion).__name__}; use dict(type='ContrastiveCompanion')")
    if companion.alone and (neck is not None or head is not None):
        raise ValueError(
            'model.companion.alone=True trains without decoder and head; set neck=None and head=None in the model, or '
            'delete alone'
        )
    return companion


def check_second_mask(companion: Companion | None, other_mask: Tensor | None) -> None:
    """Refuses a second mask that nothing uses.

    Raises:
        ValueError: If there is one and no companion.
    """
    if other_mask is not None and companion is None:
        raise ValueError(
            'the pipeline draws a second mask, of which a model without companion makes nothing; delete the mask '
            "generator with key='other_mask', or set companion=dict(type='ContrastiveCompanion') in the model"
        )
