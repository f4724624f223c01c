"""Where the visible tokens of a hierarchical encoder are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simmim_mm.masking.packing import group_tokens


class WindowGroups(NamedTuple):
    """Visible tokens of a batch, grouped for attention within windows.

    T = B * N tokens in all, in G groups of g places.

    Attributes:
        tokens: (G, g), which of the T tokens stands in each place; any one where there is none.
        places: (G, g), its place in its window, row by row; 0 where there is none.
        apart: (G, 1, g, g) bool, whether two places are of different windows. Empty places are one window.
        slots: (T,), the place of each token among the G * g.
    """

    tokens: Tensor
    places: Tensor
    apart: Tensor
    slots: Tensor


class VisibleGrid(tuple):
    """(h, w) of a feature map of which visible cells alone are there: what encoders hand from layer to layer.

    It travels where the host's layers hand on the shape of the map, so that it reaches all of them, and is still there
    when a block is computed again in the backward pass.

    Attributes:
        cells: (B, n), visible cells of the last feature map, ascending, in the memory of the host.
        cells_hw: (h', w') of the last feature map.
        side: Tokens of this map per side of a cell.
    """

    cells: np.ndarray
    cells_hw: tuple[int, int]
    side: int
    _groups: dict[tuple[int, int], WindowGroups]

    def __new__(cls, cells: np.ndarray, cells_hw: tuple[int, int], side: int) -> VisibleGrid:
        """Makes the shape of a map with ``side`` tokens per side of a cell."""
        self = super().__new__(cls, (cells_hw[0] * side, cells_hw[1] * side))
        self.cells, self.cells_hw, self.side = cells, cells_hw, side
        self._groups = {}
        return self

    def coarser(self) -> VisibleGrid:
        """The map after 2x2 tokens have been merged into one."""
        return VisibleGrid(self.cells, self.cells_hw, self.side // 2)

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each visible token: (B, N) each, cell by cell, and row by row within cells."""
        inside = np.arange(self.side**2)
        rows, columns = (axis[..., None] * self.side for axis in np.divmod(self.cells, self.cells_hw[1]))
        row, column = np.divmod(inside, self.side)
        return (rows + row).reshape(len(rows), -1), (columns + column).reshape(len(columns), -1)

    def positions(self) -> Tensor:
        """Positions of the visible tokens in the flattened map: (B, N)."""
        rows, columns = self.coordinates()
        return torch.from_numpy(rows * self[1] + columns)

    def groups(self, window: int, shift: int, device: torch.device) -> WindowGroups:
        """The groups of tokens for windows of a size and shift, made once for all blocks that share them.

        Args:
            window: Side of a window, in tokens. Must divide the map.
            shift: How far windows are moved to the lower right. What they then hold of opposite edges of the image is
                apart.
            device: Where the groups are needed.
        """
        if (window, shift) not in self._groups:
            self._groups[window, shift] = self._group(window, shift, device)
        return self._groups[window, shift]

    def _group(self, window: int, shift: int, device: torch.device) -> WindowGroups:
        axes = []
        for coordinate, length in zip(self.coordinates(), self, strict=True):
            moved = (coordinate - shift) % length
            # Tokens from the other edge, in the last window of each axis, are a window of their own.
            axes.append((moved // window * 2 + (moved >= length - shift), moved % window, length // window * 2))
        (row_window, row, _), (column_window, column, num_columns) = axes
        image = np.arange(len(row))[:, None]
        windows = (image * self[0] + row_window) * num_columns + column_window
        grouped = group_tokens(windows.ravel())
        empty = grouped.slots < 0
        places = np.where(empty, 0, (row * window + column).ravel()[grouped.slots])
        slots = np.empty(windows.size, dtype=np.int64)
        slots[grouped.slots[~empty]] = np.flatnonzero(~empty.ravel())
        numbers = torch.from_numpy(grouped.windows).to(device)
        return WindowGroups(
            torch.from_numpy(np.where(empty, 0, grouped.slots)).to(device),
            torch.from_numpy(places).to(device),
            (numbers[:, :, None] != numbers[:, None, :]).unsqueeze(1),
            torch.from_numpy(slots).to(device),
        )
