"""A plain transformer."""

from __future__ import annotations

from mmengine.model import ModuleList
from torch import Tensor, nn

from simmim_mm.models.decoders.checks import check_heads, check_ratio_above_0, check_whole
from simmim_mm.models.decoders.context import ContextDecoder
from simmim_mm.models.decoders.positions import sincos_positions
from simmim_mm.registry import MODELS


def check_transformer(embed_dims: int, depth: int, num_heads: int, mlp_ratio: float, owner: str) -> int:
    """Checks the sizes of a transformer with sine and cosine positions.

    Args:
        embed_dims: Width of the tokens.
        depth: Number of blocks.
        num_heads: Heads of attention.
        mlp_ratio: Width inside the MLPs, as a multiple of ``embed_dims``.
        owner: Class that they are arguments of.

    Returns:
        The width inside the MLPs.

    Raises:
        ValueError: If one is out of range.
    """
    if check_whole(embed_dims, 'embed_dims', owner) % 4:
        raise ValueError(
            f'embed_dims={embed_dims} of {owner} must be a multiple of 4, for sines and cosines of 2 sides'
        )
    check_whole(depth, 'depth', owner)
    check_heads(embed_dims, num_heads, owner)
    return max(1, int(embed_dims * check_ratio_above_0(mlp_ratio, 'mlp_ratio', owner)))


@MODELS.register_module()
class TransformerDecoder(ContextDecoder):
    """Blocks of self-attention over all cells, hidden and visible, as MAE's decoder (arXiv 2111.06377, section 3).

    The features are brought to ``embed_dims`` and get sine and cosine positions. Blocks are mmpretrain's.

    Args:
        in_channels: SimMIM finds out this one and the next two.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        embed_dims: Width of the tokens.
        depth: Number of blocks.
        num_heads: Heads of attention.
        mlp_ratio: Width inside the MLPs, as a multiple of ``embed_dims``.
        init_cfg: See :class:`ContextDecoder`. The MLPs are initialised as mmpretrain's ViT does it.

    Raises:
        ValueError: If a size is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        upscale: int,
        embed_dims: int = 512,
        depth: int = 4,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer  # takes two seconds, once

        mlp_width = check_transformer(embed_dims, depth, num_heads, mlp_ratio, type(self).__name__)
        super().__init__(in_channels, out_channels, upscale, embed_dims, init_cfg=init_cfg)
        self.embed = nn.Linear(in_channels, embed_dims)
        self.blocks = ModuleList(TransformerEncoderLayer(embed_dims, num_heads, mlp_width) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims)

    def refine(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Lets all cells look at each other."""
        grid_hw = (features.shape[-2], features.shape[-1])
        tokens = self.embed(features.flatten(2).transpose(1, 2))
        tokens = tokens + sincos_positions(grid_hw, self.embed.bias)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).unflatten(1, grid_hw)
