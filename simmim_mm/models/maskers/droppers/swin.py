"""Dropping tokens of Swin transformers."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simmim_mm.masking import expand, visible_positions
from simmim_mm.models.maskers.droppers.base import Dropper, put, take
from simmim_mm.models.maskers.droppers.visible_grid import VisibleGrid, WindowGroups


class SwinDropper(Dropper):
    """Drops hidden tokens before the first stage of a ``SwinTransformer`` or ``SwinTransformerV2`` of mmpretrain.

    Cells of the last feature map are visible or hidden as a whole, so that merging patches stays within cells, and each
    cell goes through it as a small map. Attention stays within the (shifted) windows, over what is visible of them;
    tokens of many windows are computed in one group, apart from each other (the idea of arXiv 2205.13515). Norms and
    MLPs see fewer tokens, and need not know.

    Args:
        backbone: The backbone.

    Raises:
        ValueError: If patches are merged otherwise than 2x2, or attention is of another kind.
    """

    def __init__(self, backbone: Any) -> None:
        merging = [stage.downsample for stage in backbone.stages if stage.downsample is not None]
        attentions = [module for module in backbone.modules() if hasattr(module, 'w_msa')]
        for module in merging:
            _check_merging(module)
        for module in attentions:
            _check_attention(module)
        super().__init__(backbone)
        self._name = type(backbone).__name__
        self._side = 2 ** len(merging)
        self._grid: VisibleGrid | None = None
        for module in attentions:
            module.__class__ = _grouped(type(module))
        for module in merging:
            module.register_forward_pre_hook(_cells_apart)
            module.register_forward_hook(_cells_together)
        backbone.stages[0].register_forward_pre_hook(self._drop)
        for index in backbone.out_indices:
            getattr(backbone, f'norm{index}').register_forward_hook(self._restore)

    def _prepare(self, hidden: Tensor, tokens: Tensor) -> None:
        assert self._task is not None
        (h, w), mask, side = self._grid_hw, self._task.mask, self._side
        cells_hw = (h // side, w // side)
        if mask.shape[-2] > cells_hw[0] or mask.shape[-1] > cells_hw[1]:
            cell = self._task.image_hw[0] // cells_hw[0]
            raise ValueError(
                f'a mask of {mask.shape[-2]}x{mask.shape[-1]} cells is finer than the {cells_hw[0]}x{cells_hw[1]} last '
                f'feature map of {self._name}, whose cells VisibleMasker keeps or drops as a whole; use a '
                f"mask_patch_size of at least {cell}, or masker=dict(type='TokenMasker')"
            )
        cells = visible_positions(expand(mask, cells_hw))
        if not cells.shape[1]:
            raise ValueError(
                f'nothing is visible, so that {self._name} has nothing to encode; use a lower mask_ratio, or '
                "masker=dict(type='TokenMasker')"
            )
        self._grid = VisibleGrid(cells.cpu().numpy(), cells_hw, side)
        self._positions = self._grid.positions().to(tokens.device)

    def _forget(self) -> None:
        self._grid = None

    def _drop(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._positions is None:
            return None
        return take(args[0], self._positions), self._grid, *args[2:]

    def _restore(self, module: nn.Module, args: tuple, tokens: Tensor) -> Tensor | None:
        if self._task is None or self._grid is None:
            return None
        side = math.isqrt(tokens.shape[1] // self._grid.cells.shape[1])
        grid = VisibleGrid(self._grid.cells, self._grid.cells_hw, side)
        width = tokens.shape[-1]
        # The token is of the last map; nobody asks for the others.
        filling = self._task.token if len(self._task.token) == width else tokens.new_zeros(width)
        return put(tokens, grid.positions().to(tokens.device), grid[0] * grid[1], filling)


class GroupedAttention(nn.Module):
    """Mixin for mmpretrain's ``ShiftWindowMSA``: attends among visible tokens, where there are no others."""

    def forward(self, query: Tensor, hw_shape: Any) -> Tensor:
        """(B, N, D) to the same, for the whole map or for the visible tokens of a :class:`VisibleGrid`."""
        if not isinstance(hw_shape, VisibleGrid):
            return super().forward(query, hw_shape)
        layer: Any = self
        shift = layer.shift_size
        if min(hw_shape) == layer.window_size and not layer.pad_small_map:
            shift = 0  # as the host does where one window is the whole map
        if hw_shape[0] % layer.window_size or hw_shape[1] % layer.window_size:
            raise ValueError(
                f'windows of {layer.window_size} do not divide a feature map of {hw_shape[0]}x{hw_shape[1]}, and '
                'VisibleMasker does not pad; change window_size of model.backbone, or the size of the crop'
            )
        groups = hw_shape.groups(layer.window_size, shift, query.device)
        return layer.drop(_attend(layer.w_msa, query, groups))


def _attend(attention: Any, tokens: Tensor, groups: WindowGroups) -> Tensor:
    """Window attention of mmpretrain, V1 or V2, within groups: (B, N, D) to the same."""
    num_heads = attention.num_heads
    query, key, value = (
        each[groups.tokens].transpose(1, 2)  # (G, heads, g, D / heads)
        for each in _project(attention, tokens).flatten(0, 1).unflatten(-1, (3, num_heads, -1)).unbind(1)
    )
    if hasattr(attention, 'logit_scale'):  # V2: cosine attention, biases from a small network
        scores = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        scores = scores * attention.logit_scale.clamp(max=math.log(1 / 0.01)).exp()
        table = 16 * attention.cpb_mlp(attention.relative_coords_table).view(-1, num_heads).sigmoid()
    else:
        scores = (query * attention.scale) @ key.transpose(-2, -1)
        table = attention.relative_position_bias_table
    pairs = attention.relative_position_index[groups.places[:, :, None], groups.places[:, None, :]]
    biases = F.embedding(pairs, table).permute(0, 3, 1, 2)
    weights = attention.attn_drop((scores + biases).masked_fill(groups.apart, -math.inf).softmax(dim=-1))
    mixed = (weights @ value).transpose(1, 2).flatten(2).flatten(0, 1)  # (G * g, D)
    return attention.proj_drop(attention.proj(mixed[groups.slots].view_as(tokens)))


def _project(attention: Any, tokens: Tensor) -> Tensor:
    """Queries, keys and values: (B, N, D) to (B, N, 3 D)."""
    if getattr(attention, 'q_bias', None) is None:
        return attention.qkv(tokens)
    bias = torch.cat([attention.q_bias, torch.zeros_like(attention.v_bias), attention.v_bias])
    return F.linear(tokens, attention.qkv.weight, bias)


def _cells_apart(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Pre-hook of a patch merging: each visible cell as a map of its own."""
    tokens, grid = args[:2]
    if not isinstance(grid, VisibleGrid):
        return None
    return tokens.reshape(-1, grid.side**2, tokens.shape[-1]), _CellShape(grid)


def _cells_together(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    """Hook of a patch merging: the cells of an image in one row again."""
    shape = args[1]
    if not isinstance(shape, _CellShape):
        return None
    return output[0].reshape(len(shape.grid.cells), -1, output[0].shape[-1]), shape.grid.coarser()


class _CellShape(tuple):
    """(h, w) of one cell, which remembers the map that it is of."""

    grid: VisibleGrid

    def __new__(cls, grid: VisibleGrid) -> _CellShape:
        self = super().__new__(cls, (grid.side, grid.side))
        self.grid = grid
        return self


# Class of the host -> the same with the mixin.
_CLASSES: dict[type, type] = {}


def _grouped(cls: type[nn.Module]) -> type[nn.Module]:
    """The class of an attention layer with the mixin before it."""
    if cls not in _CLASSES:
        _CLASSES[cls] = type(f'Grouped{cls.__name__}', (GroupedAttention, cls), {'__module__': __name__})
    return _CLASSES[cls]


def _check_merging(module: Any) -> None:
    kernel, stride = (getattr(module.sampler, name, None) for name in ('kernel_size', 'stride'))
    if any(side not in (2, (2, 2)) for side in (kernel, stride)):
        raise ValueError(
            f'patches are merged {kernel} with a stride of {stride}; VisibleMasker needs 2x2: delete downsample_cfg '
            "from model.backbone, or use masker=dict(type='TokenMasker')"
        )


def _check_attention(module: Any) -> None:
    inner = type(module.w_msa).__name__
    if inner not in ('WindowMSA', 'WindowMSAV2'):
        raise ValueError(
            f"VisibleMasker does not know how to group the windows of {inner}; use masker=dict(type='TokenMasker')"
        )
