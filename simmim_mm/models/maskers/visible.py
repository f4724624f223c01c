"""Visible tokens alone."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from simmim_mm.models.maskers.droppers import Dropper, Task, build_dropper
from simmim_mm.models.outputs import last_map
from simmim_mm.registry import MODELS


@MODELS.register_module()
class VisibleMasker(BaseModule):
    """Leaves hidden tokens out: the encoder computes visible ones alone (MAE, section 3 of arXiv 2111.06377).

    Cheaper than :class:`TokenMasker` by about the share that is hidden, and another method: hidden tokens take no part
    in the encoder, so the decoder has to do the filling in. In hidden cells of the last feature map stands one learned
    token; the decoder adds positions to it if it uses any. A decoder whose cells do not look at each other would see
    nothing else there, and is refused.

    The backbone keeps its class, parameters and keys, and behaves as ever outside :meth:`encode`. All images of a batch
    need equally many visible tokens, as masks with a fixed number of cells give them.

    Args:
        feature_dims: Width of the last feature map. SimMIM finds it out.
        init_cfg: MMEngine's.
    """

    # The features of hidden cells follow from no pixel: what decodes them has to look at other cells.
    leaves_hidden_empty = True
    stem: str | None = None  # that of the table: a dropper knows the backbone it is for

    def __init__(self, feature_dims: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, feature_dims))
        self._dropper: Dropper | None = None

    def init_weights(self) -> None:
        """Draws the token from a truncated normal distribution with std 0.02."""
        super().init_weights()
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def attach(self, backbone: nn.Module) -> None:
        """Installs the hooks that leave tokens out. Once per model.

        Raises:
            ValueError: If the backbone cannot do without them.
        """
        self._dropper = build_dropper(backbone)

    def encode(self, backbone: nn.Module, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes the visible cells of images.

        Args:
            backbone: The backbone that the masker is attached to.
            images: (B, C, H, W)
            mask: (B, h, w) bool, on the stem's grid or a coarser one that divides it.

        Returns:
            The last feature map (B, D, h', w'), with the learned token in hidden cells; and what was hidden, the mask.

        Raises:
            ValueError: If the mask does not fit, or images differ in the number of their visible tokens.
        """
        assert self._dropper is not None, 'attach the masker to the backbone first'
        # Which tokens to drop decides on shapes: from the host's copy of the mask, where there is one, without waiting.
        task = Task(getattr(mask, 'on_host', mask), (images.shape[-2], images.shape[-1]), self.mask_token.flatten())
        with self._dropper.dropping(task):
            return last_map(backbone(images), backbone), mask
