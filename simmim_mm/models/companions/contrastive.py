"""Contrast between two differently masked views."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simmim_mm.masking import expand, hidden_share
from simmim_mm.models.companions.base import Companion
from simmim_mm.models.companions.nt_xent import nt_xent
from simmim_mm.options import check_flag
from simmim_mm.registry import MODELS

DEFAULT_WEIGHT = 0.1


@MODELS.register_module()
class ContrastiveCompanion(Companion):
    """Tells images apart by what two differently masked views of each have in common.

    Both views are encoded in one pass. Their last feature maps are pooled and projected by ``W2 relu(W1 f)`` (SimCLR,
    section 2.1 of arXiv 2002.05709; without BatchNorm, so that two processes with half the batch each have the gradient
    of one). The loss is :func:`~simmim_mm.models.companions.nt_xent.nt_xent`, over the batches of all processes. The
    views are one crop: only the masks differ.

    A step costs what a step with twice the images costs. Every process needs the same number of images, so keep
    ``drop_last=True`` in the loader.

    Args:
        in_channels: Width of the encoder's last feature map. SimMIM finds it out.
        hidden_channels: Width between the two layers of the projection; ``in_channels`` where it is None.
        out_channels: Width of the projections.
        temperature: Divides the cosine similarities; above 0.
        weight: Factor of the contrastive loss beside the reconstruction loss, above 0; 0.1 where it is None.
        alone: Whether to train with this loss alone, without decoder and head. Then ``weight`` has no meaning and is
            refused.
        pool: ``'all'`` for the mean over all cells of the feature map, ``'visible'`` for that over visible ones, each
            weighted by its visible share. (The features of an image with nothing visible are then 0.)
        init_cfg: MMEngine's.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int | None = None,
        out_channels: int = 128,
        temperature: float = 0.2,
        weight: float | None = None,
        alone: bool = False,
        pool: str = 'all',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(alone, init_cfg)
        width = in_channels if hidden_channels is None else hidden_channels
        for name, value in (('in_channels', in_channels), ('hidden_channels', width), ('out_channels', out_channels)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f'{name}={value!r} of ContrastiveCompanion must be a whole number from 1')
        check_flag(alone, 'alone', 'ContrastiveCompanion')
        if alone and weight is not None:
            raise ValueError(
                f'weight={weight!r} of ContrastiveCompanion has no use with alone=True; delete weight, or alone'
            )
        if pool not in ('all', 'visible'):
            raise ValueError(f"pool={pool!r} of ContrastiveCompanion is unknown; use 'all' or 'visible'")
        self.temperature = _check_positive('temperature', temperature)
        self.weight = 1.0 if alone else _check_positive('weight', DEFAULT_WEIGHT if weight is None else weight)
        self.pool = pool
        self.projection = nn.Sequential(nn.Linear(in_channels, width), nn.ReLU(), nn.Linear(width, out_channels))

    def views(self, images: Tensor, mask: Tensor, other_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Puts the two views into one batch.

        Args:
            images: (B, C, H, W)
            mask: (B, h, w) bool.
            other_mask: (B, h', w') bool; the cells of one must be a multiple of the cells of the other.

        Returns:
            The images twice (2 B, C, H, W), and under the two masks (2 B, h'', w'') of the finer grid.

        Raises:
            ValueError: If the second mask is missing.
        """
        if other_mask is None:
            raise ValueError(
                'ContrastiveCompanion needs a second mask for each image; put a second mask generator, '
                "dict(type='RandomPatchMask', key='other_mask'), into the training pipeline, before PackMaskedImage"
            )
        grid_hw = (max(mask.shape[-2], other_mask.shape[-2]), max(mask.shape[-1], other_mask.shape[-1]))
        return torch.cat([images, images]), torch.cat([expand(mask, grid_hw), expand(other_mask, grid_hw)])

    def loss(self, features: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Contrasts the two views of a batch.

        Args:
            features: (2 B, D, h, w), the last feature maps, those of the first views first.
            hidden: (2 B, h', w') bool, what was hidden.

        Returns:
            ``loss_contrastive``, weighted, and ``contrastive_accuracy``, without gradient: the share of views to which
            the other view of their image is the most similar of all, 0 to 1.
        """
        loss, accuracy = nt_xent(self.project(features, hidden), self.temperature)
        return {'loss_contrastive': self.weight * loss, 'contrastive_accuracy': accuracy}

    def project(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Pools and projects feature maps: (B, D, h, w) and (B, h', w') bool to (B, out_channels)."""
        if self.pool == 'all':
            pooled = features.mean(dim=(2, 3))
        else:
            share = 1 - hidden_share(hidden, (features.shape[-2], features.shape[-1])).unsqueeze(1)
            # The least share above 0 is that of one pixel; the bound keeps an image with none from 0 / 0.
            pooled = (features * share).sum(dim=(2, 3)) / share.sum(dim=(2, 3)).clamp(min=1e-6)
            pooled = pooled.to(features.dtype)
        return self.projection(pooled)


def _check_positive(name: str, value: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f'{name}={value!r} of ContrastiveCompanion must be a number above 0')
    return float(value)
