"""Lever ``attention``: attention with a learned bias through :func:`~simmim_mm.acceleration.scores.attend`.

For the windows of mmpretrain's Swin and Swin V2 and for its BEiT. Its ViT uses PyTorch's fused attention as it is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import BEiTAttention
from mmpretrain.models.utils.attention import WindowMSA, WindowMSAV2
from torch import Tensor, nn

from simmim_mm.acceleration.layout import WindowLayout
from simmim_mm.acceleration.scores import attend
from simmim_mm.acceleration.swap import swap_classes


class WindowAttention(nn.Module):
    """What the attention in windows of Swin and Swin V2 has in common. A mixin: the host's class makes the state."""

    # 'auto' until the lever says otherwise.
    method = 'auto'
    # Whether scores are added to the bias in fp32 under autocast, where the device lets one.
    wide = False

    num_heads: int
    embed_dims: int
    window_size: tuple[int, int]
    qkv: nn.Linear
    proj: nn.Linear
    proj_drop: nn.Dropout

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values of tokens: (..., C) to (..., 3 C)."""
        raise NotImplementedError

    def relative_bias(self) -> Tensor:
        """What is added to the scores of each pair of tokens: (heads, N, N)."""
        raise NotImplementedError

    def prepare(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, float]:
        """Queries and keys as they are multiplied, and the scale of the product."""
        raise NotImplementedError

    def attend_map(self, x: Tensor, layout: WindowLayout) -> Tensor:
        """Attention inside the windows of maps.

        Args:
            x: (B, H W, C)
            layout: Of the windows.

        Returns:
            (B, H W, C)
        """
        # (B, n heads, N, d) where windows have masks of their own, otherwise (B n, heads, N, d).
        qkv = layout.split(self.project(x), self.num_heads, 3)
        mask = layout.mask(self, x.device)
        biases = (1, 2) if mask is None else (2, 3)
        query, key, value = qkv.flatten(*biases).unbind(0)
        windows = self._attend(query, key, value, mask)
        return self.proj_drop(self.proj(layout.join(windows.reshape(1, *qkv.shape[1:]))))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The host's interface.

        Args:
            x: (B n, N, C), tokens of windows.
            mask: (n, N, N), added to the scores of the n windows of a map.

        Returns:
            (B n, N, C)
        """
        heads = (self.num_heads, self.embed_dims // self.num_heads)
        qkv = self.project(x).unflatten(-1, (3, *heads)).permute(2, 0, 3, 1, 4)  # (3, B n, heads, N, d)
        if mask is not None:
            qkv = qkv.unflatten(1, (-1, len(mask))).flatten(2, 3)
        query, key, value = qkv.unbind(0)
        windows = self._attend(query, key, value, mask)
        return self.proj_drop(self.proj(windows.reshape(len(x), heads[0], -1, heads[1]).transpose(1, 2).flatten(2)))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        bias = self.relative_bias()
        if mask is not None:
            bias = (bias + mask.unsqueeze(1)).flatten(0, 1)  # (n heads, N, N)
        query, key, scale = self.prepare(query, key)
        return attend(query, key, value, bias, scale, self.method, self.wide)


class FastWindowMSA(WindowAttention, WindowMSA):
    """mmpretrain's ``WindowMSA``, with the same result."""

    relative_position_bias_table: Tensor
    relative_position_index: Tensor
    scale: float

    def project(self, x: Tensor) -> Tensor:
        """One linear layer."""
        return self.qkv(x)

    def relative_bias(self) -> Tensor:
        """Of a table with a row for each offset."""
        return _of_pairs(self.relative_position_bias_table, self.relative_position_index)

    def prepare(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, float]:
        """As they are."""
        return query, key, self.scale


class FastWindowMSAV2(WindowAttention, WindowMSAV2):
    """mmpretrain's ``WindowMSAV2``, with the same result."""

    q_bias: Tensor | None
    v_bias: Tensor | None
    cpb_mlp: nn.Module
    logit_scale: Tensor
    relative_coords_table: Tensor
    relative_position_index: Tensor
    # Cosines are multiplied by up to 100 and meet biases of up to 16: more than bf16 resolves.
    wide = True

    def project(self, x: Tensor) -> Tensor:
        """One linear layer, without a bias of the keys."""
        return F.linear(x, self.qkv.weight, _joined_bias(self.q_bias, self.v_bias))

    def relative_bias(self) -> Tensor:
        """Of a small MLP of each offset."""
        # The sigmoid of the table's (2w - 1)^2 rows, not of the w^4 pairs, and not in bf16: that is free for so few.
        with torch.autocast(self.relative_coords_table.device.type, enabled=False):
            table = self.cpb_mlp(self.relative_coords_table).view(-1, self.num_heads)
            # The softmax does not see the constant 8; without it, bf16 resolves the bias around 0.
            return _of_pairs(16 * torch.sigmoid(table) - 8, self.relative_position_index)

    def prepare(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, float]:
        """Of length 1, which makes the product a cosine, times the learned scale of each head."""
        scale = torch.clamp(self.logit_scale, max=math.log(1.0 / 0.01)).exp()  # (heads, 1, 1)
        if query.shape[1] != self.num_heads:
            scale = scale.repeat(query.shape[1] // self.num_heads, 1, 1)
        dtype = key.dtype
        return (F.normalize(query, dim=-1) * scale).to(dtype), F.normalize(key, dim=-1).to(dtype), 1.0


class FastBEiTAttention(BEiTAttention):
    """mmpretrain's ``BEiTAttention``, with the same result."""

    method = 'auto'

    def forward(self, x: Tensor, rel_pos_bias: Tensor | None = None) -> Tensor:
        """Attention of all tokens.

        Args:
            x: (B, N, C)
            rel_pos_bias: (heads, N, N), shared between blocks; or (B, heads, N, N), where images differ in their
                tokens.

        Returns:
            (B, N, C)
        """
        bias = _joined_bias(self.q_bias, self.v_bias) if self.bias == 'qv_bias' else self.qkv.bias
        qkv = F.linear(x, self.qkv.weight, bias)
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        if self.relative_position_bias_table is not None:
            own = _of_pairs(self.relative_position_bias_table, self.relative_position_index)
            rel_pos_bias = own if rel_pos_bias is None else own + rel_pos_bias
        if rel_pos_bias is None:
            tokens = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        elif rel_pos_bias.ndim == 4:
            # One image with many heads.
            one = [part.flatten(0, 1).unsqueeze(0) for part in (query, key, value)]
            tokens = attend(one[0], one[1], one[2], rel_pos_bias.flatten(0, 1), self.scale, self.method, wide=False)
            tokens = tokens.view_as(query)
        else:
            tokens = attend(query, key, value, rel_pos_bias, self.scale, self.method, wide=False)
        return self.proj_drop(self.proj(tokens.transpose(1, 2).flatten(2)))


def _fits(module: Any) -> bool:
    return module.attn_drop.p == 0


def apply(model: nn.Module, value: Any) -> str:
    """Changes the attention of Swin, Swin V2 and BEiT."""
    classes: dict[type[nn.Module], type[nn.Module]] = {
        WindowMSA: FastWindowMSA,
        WindowMSAV2: FastWindowMSAV2,
        BEiTAttention: FastBEiTAttention,
    }
    number = swap_classes(model, classes, _fits)
    if not number:
        return 'does not apply: no attention with a learned bias of mmpretrain, or one with attention dropout'
    kernels = ''
    if value == 'triton':
        from simmim_mm.acceleration.window_attention.swin import use_kernels

        value, kernels = 'auto', f'; {use_kernels(model)}'
    for module in model.modules():
        if isinstance(module, tuple(classes.values())):
            module.method = value
    return f'{number} attentions with a learned bias, by {value}{kernels}'


def _joined_bias(q_bias: Tensor | None, v_bias: Tensor | None) -> Tensor | None:
    """Biases of queries, keys (none) and values."""
    if q_bias is None or v_bias is None:
        return None
    return torch.cat((q_bias, torch.zeros_like(v_bias), v_bias))


def _of_pairs(table: Tensor, index: Tensor) -> Tensor:
    """The rows of a table (rows, heads) at an index (N, N), as (heads, N, N)."""
    return table.t()[:, index.view(-1)].view(-1, *index.shape)
