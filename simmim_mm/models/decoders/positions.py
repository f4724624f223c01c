"""Where a token is."""

from __future__ import annotations

import torch
from torch import Tensor


def sincos_positions(grid_hw: tuple[int, int], like: Tensor) -> Tensor:
    """Fixed sine and cosine terms of rows and columns, as in MAE (appendix A.1 of arXiv 2111.06377).

    Computed where they are needed, in fp32 at least: any grid works, and nothing lands in checkpoints.

    Args:
        grid_hw: (h, w)
        like: A tensor whose last dimension is the width D, a multiple of 4, and whose device and type the result has.

    Returns:
        (h * w, D), row by row: sine and cosine of the column, then of the row, for D / 4 wavelengths from 2 pi to
        10000 * 2 pi cells.
    """
    quarter = like.shape[-1] // 4
    precise = torch.promote_types(like.dtype, torch.float32)
    steps, rows, columns = (torch.arange(length, device=like.device, dtype=precise) for length in (quarter, *grid_hw))
    frequencies = 10000.0 ** -(steps / quarter)
    row_terms = (rows[:, None] * frequencies)[:, None].expand(-1, grid_hw[1], -1)
    column_terms = (columns[:, None] * frequencies)[None].expand(grid_hw[0], -1, -1)
    terms = (column_terms.sin(), column_terms.cos(), row_terms.sin(), row_terms.cos())
    return torch.cat(terms, dim=-1).flatten(0, 1).to(like.dtype)
