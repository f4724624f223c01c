"""Queries for what is hidden, keys from what is visible."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from simmim_mm.masking import regrid
from simmim_mm.models.decoders.context import ContextDecoder
from simmim_mm.models.decoders.positions import sincos_positions
from simmim_mm.models.decoders.transformer import check_transformer
from simmim_mm.registry import MODELS


@MODELS.register_module()
class CrossAttentionDecoder(ContextDecoder):
    """Queries, one a cell, that attend to the features of visible cells, and not to each other.

    A query is a learned token plus the sine and cosine position of its cell. Keys are the features of the cells that
    hold anything visible, and one learned token, so that there is something to attend to where everything is hidden.
    No prediction depends on the features of a cell that is hidden as a whole.

    Args:
        in_channels: SimMIM finds out this one and the next two.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        embed_dims: Width of the tokens.
        depth: Number of blocks, of cross-attention and an MLP each.
        num_heads: Heads of attention.
        mlp_ratio: Width inside the MLPs, as a multiple of ``embed_dims``.
        init_cfg: See :class:`ContextDecoder`. The learned tokens are drawn in the same way.

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
        mlp_width = check_transformer(embed_dims, depth, num_heads, mlp_ratio, type(self).__name__)
        super().__init__(in_channels, out_channels, upscale, embed_dims, init_cfg=init_cfg)
        # With one dimension, as the recipes exempt such parameters from weight decay.
        self.query = nn.Parameter(torch.zeros(embed_dims))
        self.empty_key = nn.Parameter(torch.zeros(embed_dims))
        self.embed = nn.Linear(in_channels, embed_dims)
        self.key_norm = nn.LayerNorm(embed_dims)
        self.blocks = ModuleList(CrossAttentionBlock(embed_dims, num_heads, mlp_width) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims)

    def init_weights(self) -> None:
        """Draws the learned tokens from a truncated normal distribution with std 0.02, beside the rest."""
        super().init_weights()
        for token in (self.query, self.empty_key):
            nn.init.trunc_normal_(token, std=0.02)

    def refine(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Answers the query of each cell. With static shapes, so queries of visible cells are answered too."""
        batch, _, *grid = features.shape
        grid_hw = (grid[0], grid[1])
        positions = sincos_positions(grid_hw, self.query)
        keys = self.embed(features.flatten(2).transpose(1, 2)) + positions
        keys = self.key_norm(torch.cat([self.empty_key.expand(batch, 1, -1), keys], dim=1))
        # A cell that is hidden in part is seen in part: it counts as visible.
        seen = F.pad(regrid(~hidden, grid_hw).flatten(1), (1, 0), value=True)
        queries = (self.query + positions).expand(batch, -1, -1)
        for block in self.blocks:
            queries = block(queries, keys, seen)
        return self.norm(queries).unflatten(1, grid_hw)


class CrossAttentionBlock(BaseModule):
    """Cross-attention and an MLP, each after a norm and beside a shortcut.

    Args:
        embed_dims: Width of the tokens.
        num_heads: Heads of attention.
        mlp_width: Width inside the MLP.
    """

    def __init__(self, embed_dims: int, num_heads: int, mlp_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_norm = nn.LayerNorm(embed_dims)
        self.to_query = nn.Linear(embed_dims, embed_dims)
        self.to_key_and_value = nn.Linear(embed_dims, 2 * embed_dims)
        self.attended = nn.Linear(embed_dims, embed_dims)
        self.mlp_norm = nn.LayerNorm(embed_dims)
        self.mlp = nn.Sequential(nn.Linear(embed_dims, mlp_width), nn.GELU(), nn.Linear(mlp_width, embed_dims))

    def forward(self, queries: Tensor, keys: Tensor, seen: Tensor) -> Tensor:
        """Updates the queries.

        Args:
            queries: (B, N, D)
            keys: (B, K, D)
            seen: (B, K) bool, which keys may be attended to; at least one of each image.

        Returns:
            (B, N, D)
        """
        query = self._split(self.to_query(self.query_norm(queries)))
        key, value = (self._split(half) for half in self.to_key_and_value(keys).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None])
        queries = queries + self.attended(attended.transpose(1, 2).flatten(2))
        return queries + self.mlp(self.mlp_norm(queries))

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
