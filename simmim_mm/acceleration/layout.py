"""Tokens of a map to and from shifted windows, in one pass over the memory.

Shapes here: B images, H x W tokens of a map, K of what is moved at once (queries, keys and values: 3), d channels of a
head, n windows of N = w x w tokens each.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# Sizes of maps whose masks are kept. Pre-training has one or a few; detectors have a new one in each step.
MOST_SIZES = 8


class WindowLayout(NamedTuple):
    """How a map is cut into windows.

    Attributes:
        height: Tokens in a column of the map, a multiple of ``window``.
        width: Tokens in a row, likewise.
        window: Side of a window.
        shift: By how much the map is rolled to the top left before it is cut, less than ``window``.
    """

    height: int
    width: int
    window: int
    shift: int

    @property
    def number(self) -> int:
        """Windows in a map."""
        return (self.height // self.window) * (self.width // self.window)

    def split(self, tokens: Tensor, heads: int, parts: int) -> Tensor:
        """Cuts maps into windows and channels into heads.

        Args:
            tokens: (B, H W, K heads d)
            heads: Number of heads.
            parts: K.

        Returns:
            (K, B, n, heads, N, d), contiguous.
        """
        if torch.compiler.is_compiling():
            return _split_by_roll(tokens, self, heads, parts)
        return _Split.apply(tokens, self, heads, parts)

    def join(self, windows: Tensor) -> Tensor:
        """Undoes :meth:`split`: (K, B, n, heads, N, d) to (B, H W, K heads d)."""
        if torch.compiler.is_compiling():
            return _join_by_roll(windows, self)
        return _Join.apply(windows, self)

    def mask(self, owner: nn.Module, device: torch.device) -> Tensor | None:
        """What keeps tokens apart that the roll brought into one window.

        It is made once for each size, outside of compiled graphs, where there is a first forward pass to do so.

        Args:
            owner: Where it is kept: as an attribute for each size, for a graph to depend on that alone; and not as a
                buffer, because the buffers of an EMA copy must be those of its model.
            device: Where it is used.

        Returns:
            (n, N, N), 0 or -100 (the host's value); None without shift.
        """
        if not self.shift:
            return None
        name = f'_mask_{self.height}x{self.width}_{self.shift}_{device}'
        mask = getattr(owner, name, None)
        if mask is None and torch.compiler.is_compiling():
            return _shift_mask(self, device)
        if mask is None:
            mask = _kept_shift_mask(self, device)
            if sum(other.startswith('_mask_') for other in vars(owner)) < MOST_SIZES:
                setattr(owner, name, mask)
        return mask


def _shift_mask(layout: WindowLayout, device: torch.device) -> Tensor:
    rows, columns = (
        (torch.arange(side) >= side - layout.window).int() + (torch.arange(side) >= side - layout.shift).int()
        for side in (layout.height, layout.width)
    )
    regions = (rows[:, None] * 3 + columns).unflatten(1, (-1, layout.window)).unflatten(0, (-1, layout.window))
    regions = regions.transpose(1, 2).flatten(2).flatten(0, 1)  # (n, N)
    apart = regions[:, None, :] != regions[:, :, None]
    return torch.where(apart, -100.0, 0.0).float().to(device)


_kept_shift_mask = lru_cache(maxsize=2 * MOST_SIZES)(_shift_mask)


def _split_by_roll(tokens: Tensor, layout: WindowLayout, heads: int, parts: int) -> Tensor:
    height, width, window, shift = layout
    channels = tokens.shape[-1] // parts // heads
    maps = tokens.unflatten(1, (height, width))
    if shift:
        maps = maps.roll((-shift, -shift), (1, 2))
    maps = maps.reshape(-1, height // window, window, width // window, window, parts, heads, channels)
    return maps.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(2, 3).contiguous()


def _join_by_roll(windows: Tensor, layout: WindowLayout) -> Tensor:
    height, width, window, shift = layout
    maps = windows.unflatten(4, (window, window)).unflatten(2, (height // window, width // window))
    maps = maps.permute(1, 2, 5, 3, 6, 0, 4, 7).flatten(5, 7).flatten(3, 4).flatten(1, 2)
    if shift:
        maps = maps.roll((shift, shift), (1, 2))
    return maps.flatten(1, 2)


class _Split(torch.autograd.Function):
    """A permutation of tokens, whose gradient is the inverse one."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, layout: WindowLayout, heads: int, parts: int) -> Tensor:
        ctx.layout = layout
        return _move_to_windows(tokens, layout, heads, parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _move_to_maps(gradients[0], ctx.layout), None, None, None


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, windows: Tensor, layout: WindowLayout) -> Tensor:
        ctx.layout, ctx.heads, ctx.parts = layout, windows.shape[3], windows.shape[0]
        return _move_to_maps(windows, layout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _move_to_windows(gradients[0], ctx.layout, ctx.heads, ctx.parts), None


def _move_to_windows(tokens: Tensor, layout: WindowLayout, heads: int, parts: int) -> Tensor:
    batch, channels = len(tokens), tokens.shape[-1]
    windows = tokens.new_empty(parts, batch, layout.number, heads, layout.window**2, channels // parts // heads)
    for inside, outside in _views(windows, tokens, layout):
        inside.copy_(outside)
    return windows


def _move_to_maps(windows: Tensor, layout: WindowLayout) -> Tensor:
    parts, batch, _, heads, _, channels = windows.shape
    tokens = windows.new_empty(batch, layout.height * layout.width, parts * heads * channels)
    for inside, outside in _views(windows, tokens, layout):
        outside.copy_(inside)
    return tokens


def _views(windows: Tensor, tokens: Tensor, layout: WindowLayout) -> list[tuple[Tensor, Tensor]]:
    """Pairs of views of the same tokens, (K, B, n rows, n columns, heads, rows, columns, d), that cover all of them."""
    height, width, window, shift = layout
    parts, _, _, heads, _, channels = windows.shape
    windows = windows.unflatten(4, (window, window)).unflatten(2, (height // window, width // window))
    maps = tokens.reshape(len(tokens), height, width, parts, heads, channels)
    pairs = []
    for row in _pieces(height, window, shift):
        for column in _pieces(width, window, shift):
            inside = windows[:, :, row.windows, column.windows, :, row.inside, column.inside]
            outside = maps[:, row.outside, column.outside]
            outside = outside.unflatten(2, inside.shape[3::3][:2]).unflatten(1, inside.shape[2::3][:2])
            pairs.append((inside, outside.permute(5, 0, 1, 3, 6, 2, 4, 7)))
    return pairs


class _Piece(NamedTuple):
    """Tokens along one side of a map that lie in a row in the map as well as in the windows."""

    windows: slice
    inside: slice
    outside: slice


@lru_cache(maxsize=64)
def _pieces(side: int, window: int, shift: int) -> tuple[_Piece, ...]:
    if not shift:
        return (_Piece(slice(None), slice(None), slice(None)),)
    last = side // window - 1
    pieces = (
        _Piece(slice(0, last), slice(None), slice(shift, shift + last * window)),
        _Piece(slice(last, None), slice(0, window - shift), slice(shift + last * window, side)),
        _Piece(slice(last, None), slice(window - shift, None), slice(0, shift)),
    )
    return pieces if last else pieces[1:]
