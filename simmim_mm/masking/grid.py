"""All changes of mask resolution, and the selection of cells by a mask.

A mask lives on a grid of cells: the mask generator's cells, the backbone's stem tokens, its last feature map, or the
pixels. Grids of one image divide each other; a pair that does not is refused.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Cells(NamedTuple):
    """Cells of a grid, selected over a whole batch.

    Attributes:
        positions: (N,) int64, positions in the flattened (B, h, w) grid, ascending.
        grid_hw: (h, w) of the grid.
    """

    positions: Tensor
    grid_hw: tuple[int, int]


def expand(mask: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Repeats each cell of a mask onto a finer (or equal) grid.

    Args:
        mask: (B, h, w), any dtype.
        grid_hw: The finer grid; each side a multiple of the mask's.

    Returns:
        (B, *grid_hw), same dtype.

    Raises:
        ValueError: If the finer grid is not a multiple of the mask's grid.
    """
    (h, w), (fine_h, fine_w) = mask.shape[-2:], grid_hw
    if (h, w) == (fine_h, fine_w):
        return mask
    if fine_h % h or fine_w % w:
        raise ValueError(
            f'a mask of {h}x{w} cells does not fit a grid of {fine_h}x{fine_w}: the cells of one must be a multiple of '
            'the cells of the other in both directions; change mask_patch_size of the mask transform'
        )
    return mask.repeat_interleave(fine_h // h, dim=-2).repeat_interleave(fine_w // w, dim=-1)


def coarsen(mask: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Marks each cell of a coarser (or equal) grid that holds any hidden cell.

    Args:
        mask: (B, h, w) bool.
        grid_hw: The coarser grid; each side divides the mask's.

    Returns:
        (B, *grid_hw) bool.

    Raises:
        ValueError: If the coarser grid does not divide the mask's grid.
    """
    if tuple(mask.shape[-2:]) == tuple(grid_hw):
        return mask
    return _blocks(mask, grid_hw).any(dim=-1).any(dim=-2)


def hidden_share(mask: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """How much of each cell of a grid is hidden.

    Args:
        mask: (B, h, w) bool.
        grid_hw: Any grid that divides the mask's, or is divided by it.

    Returns:
        (B, *grid_hw) float32, 0 to 1.

    Raises:
        ValueError: If neither grid divides the other.
    """
    if mask.shape[-2] <= grid_hw[0] and mask.shape[-1] <= grid_hw[1]:
        return expand(mask, grid_hw).float()
    return _blocks(mask, grid_hw).float().mean(dim=(-3, -1))


def regrid(mask: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Brings a mask to a grid that is finer in both directions (:func:`expand`) or coarser (:func:`coarsen`)."""
    finer = mask.shape[-2] <= grid_hw[0] and mask.shape[-1] <= grid_hw[1]
    return expand(mask, grid_hw) if finer else coarsen(mask, grid_hw)


def hidden_cells(mask: Tensor, grid_hw: tuple[int, int]) -> Cells:
    """Selects the cells of a grid that hold anything hidden.

    The number of selected cells is a shape that depends on data: on a GPU this waits for the device, unless the mask
    has an attribute ``on_host``, the same mask in the host's memory. It belongs outside a compiled graph.

    Args:
        mask: (B, h', w') bool on any grid that divides, or is divided by, ``grid_hw``.
        grid_hw: The grid to select from, usually the backbone's last feature map.

    Returns:
        The selected cells.
    """
    known = getattr(mask, 'on_host', mask)
    positions = regrid(known, grid_hw).flatten().nonzero().squeeze(1)
    if mask.is_cuda and not positions.is_cuda:
        positions = positions.pin_memory()  # a copy from other memory would wait
    return Cells(positions.to(mask.device, non_blocking=True), grid_hw)


def visible_positions(hidden: Tensor) -> Tensor:
    """Where the visible cells of images are, which must be equally many in each.

    How many there are is a shape that depends on data: on a GPU this waits for the device.

    Args:
        hidden: (B, h, w) bool.

    Returns:
        (B, n) int64, positions in the flattened grid (h, w), ascending. For a mask on the meta device, which holds
        nothing, those of all cells, on the CPU.

    Raises:
        ValueError: If images differ in the number of their visible cells.
    """
    flat = hidden.flatten(1)
    if flat.is_meta:
        return torch.arange(flat.shape[1], device='cpu').expand(len(flat), -1)
    fewest, most = torch.stack((~flat).sum(dim=1).aminmax()).tolist()
    if fewest != most:
        raise ValueError(
            f'images of one batch have from {fewest} to {most} visible cells; encoding visible cells alone needs '
            'equally many: use a mask with a fixed number of cells, such as RandomPatchMask or BlockwiseMask, and one '
            "ratio for both views of a companion, or masker=dict(type='TokenMasker')"
        )
    # Sorting keeps order among equals, and its shape is known: unlike nonzero, it does not wait.
    return flat.to(torch.uint8).argsort(dim=1, stable=True)[:, :most]


def gather_cells(maps: Tensor, cells: Cells) -> Tensor:
    """Cuts the selected cells out of dense maps.

    Args:
        maps: (B, C, h * s, w * s) for a grid of (h, w) cells.
        cells: The cells to cut out.

    Returns:
        (N, C, s, s)

    Raises:
        ValueError: If the maps' sides are not the same multiple of the grid's sides.
    """
    h, w = cells.grid_hw
    height, width = maps.shape[-2:]
    s = height // h
    if (s * h, s * w) != (height, width) or s == 0:
        raise ValueError(f'a map of {height}x{width} positions cannot be cut into a grid of {h}x{w} square cells')
    patches = maps.unflatten(-1, (w, s)).unflatten(-3, (h, s))  # (B, C, h, s, w, s)
    image, row, column = _unravel(cells)
    # Indexing with tensors on the dimensions 0, 2 and 4 moves the selection to the front.
    return patches[image, :, row, :, column]


def hidden_weight(hidden: Tensor, cells: Cells, side: int) -> Tensor:
    """Which positions inside the selected cells are hidden.

    Args:
        hidden: (B, h', w') bool, what was really hidden, on any grid that fits.
        cells: The selected cells, as :func:`hidden_cells` of the same mask, or more.
        side: Positions per side of one cell (``s``).

    Returns:
        (N, 1, s, s) bool.
    """
    h, w = cells.grid_hw
    if hidden.shape[-2] <= h and hidden.shape[-1] <= w:
        per_cell = expand(hidden, (h, w)).flatten()[cells.positions]
        return per_cell[:, None, None, None].expand(-1, 1, side, side)
    return gather_cells(regrid(hidden, (h * side, w * side)).unsqueeze(1), cells)


def blank(images: Tensor, hidden: Tensor, value: float = 0.0) -> Tensor:
    """Images with their hidden pixels set to one value.

    Args:
        images: (B, C, H, W)
        hidden: (B, h, w) bool.
        value: What hidden pixels become, in the images' units.

    Returns:
        (B, C, H, W), a new tensor.
    """
    return images.masked_fill(regrid(hidden, (images.shape[-2], images.shape[-1])).unsqueeze(1), value)


def _blocks(mask: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """The cells inside each cell of a coarser grid: (B, H, W) as (B, h, H / h, w, W / w)."""
    (h, w), (coarse_h, coarse_w) = mask.shape[-2:], grid_hw
    if h % coarse_h or w % coarse_w:
        raise ValueError(
            f'a mask of {h}x{w} cells does not fit a grid of {coarse_h}x{coarse_w}: the cells of one must be a '
            'multiple of the cells of the other in both directions; change mask_patch_size of the mask transform'
        )
    return mask.unflatten(-1, (coarse_w, -1)).unflatten(-3, (coarse_h, -1))


def _unravel(cells: Cells) -> tuple[Tensor, Tensor, Tensor]:
    h, w = cells.grid_hw
    image = torch.div(cells.positions, h * w, rounding_mode='floor')
    row = torch.div(cells.positions, w, rounding_mode='floor') % h
    return image, row, cells.positions % w
