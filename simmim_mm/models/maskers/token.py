"""The learned mask token."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from simmim_mm.masking import blank
from simmim_mm.models.maskers.fit import hidden_tokens
from simmim_mm.models.outputs import first_tensor, last_map, token_grid
from simmim_mm.models.stems import find_stem, locate_stem
from simmim_mm.options import check_text
from simmim_mm.registry import MODELS


@MODELS.register_module()
class TokenMasker(BaseModule):
    """Replaces the embeddings of hidden stem cells by one learned token (SimMIM, section 3.2 of arXiv 2111.09886).

    The token stands in after the patch embedding and its norm, before position terms and dropout. It enters through a
    forward hook on the backbone's stem, so the backbone stays the host's own class with its own keys, and behaves as
    ever outside :meth:`encode`. The hook is a bound method: a deep copy of the model (an EMA copy, say) uses its own
    token.

    Where the stem's cells overlap (ResNet's do), visible ones would show hidden pixels. There, hidden pixels are set to
    0 as well, which is the mean colour of normalised images.

    Args:
        embed_dims: Width of the stem's tokens. SimMIM finds it out.
        stem: Dotted path of the stem below the backbone, where :data:`~simmim_mm.models.stems.STEMS` does not have it.
        init_cfg: MMEngine's.
    """

    def __init__(self, embed_dims: int, stem: str | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.stem = check_text(stem, 'stem', 'TokenMasker')
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.blanks_pixels = False
        self._mask: Tensor | None = None
        self._image_hw = (0, 0)

    def init_weights(self) -> None:
        """Draws the token from a truncated normal distribution with std 0.02."""
        super().init_weights()
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def attach(self, backbone: nn.Module) -> None:
        """Installs the hook on a backbone's stem, and finds out whether its cells overlap. Once per model."""
        self.blanks_pixels = locate_stem(backbone, self.stem).overlapping
        find_stem(backbone, self.stem).register_forward_hook(self._hide)

    def encode(self, backbone: nn.Module, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes images of which the backbone does not see the hidden cells.

        Args:
            backbone: The backbone that the masker is attached to.
            images: (B, C, H, W)
            mask: (B, h, w) bool, on the stem's grid or a coarser one that divides it.

        Returns:
            The last feature map (B, D, h', w'), and what was really hidden: the mask, as no cell of the stem is hidden
            in part.

        Raises:
            ValueError: If the mask is finer than the stem's cells, or does not fit them.
        """
        if self.blanks_pixels:
            images = blank(images, mask)
        self._mask, self._image_hw = mask, (images.shape[-2], images.shape[-1])
        try:
            features = last_map(backbone(images), backbone)
        finally:
            self._mask = None
        return features, mask

    def _hide(self, module: nn.Module, args: tuple, output: Any) -> Any:
        """Forward hook of the stem: puts the token in place of hidden tokens."""
        if self._mask is None:
            return None
        tokens = first_tensor(output)
        grid_hw = token_grid(tokens, self._image_hw)
        hidden = hidden_tokens(self._mask, grid_hw, self._image_hw)
        if tokens.ndim == 3:
            tokens = torch.where(hidden.flatten(1).unsqueeze(-1), self.mask_token.to(tokens.dtype), tokens)
        else:
            tokens = torch.where(hidden.unsqueeze(1), self.mask_token.to(tokens.dtype).view(1, -1, 1, 1), tokens)
        return (tokens, *output[1:]) if isinstance(output, tuple | list) else tokens
