"""Changes of mask resolution and selection of cells, against loops over single cells."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simmim_mm.masking import (
    Cells,
    blank,
    coarsen,
    expand,
    gather_cells,
    hidden_cells,
    hidden_share,
    hidden_weight,
    regrid,
)

small = st.integers(1, 4)


@st.composite
def masks(draw):
    """A mask of 1 to 3 images and 1 to 4 cells a side."""
    shape = draw(st.tuples(st.integers(1, 3), small, small))
    flat = draw(
        st.lists(st.booleans(), min_size=shape[0] * shape[1] * shape[2], max_size=shape[0] * shape[1] * shape[2])
    )
    return torch.tensor(flat).view(shape)


@given(masks(), small, small, st.booleans())
def test_hidden_share_counts_hidden_parts(mask, rows, columns, finer):
    """Of a coarser cell, hidden parts over all parts; of a finer one, 1 or 0."""
    batch, h, w = mask.shape
    if finer:
        assert torch.equal(hidden_share(mask, (h * rows, w * columns)), expand(mask, (h * rows, w * columns)).float())
        return
    mask = mask.repeat(1, rows, columns)
    share = hidden_share(mask, (h, w))
    assert share.shape == (batch, h, w)
    for b in range(batch):
        for i in range(h):
            for j in range(w):
                parts = [mask[b, i * rows + y, j * columns + x] for y in range(rows) for x in range(columns)]
                assert share[b, i, j].item() == pytest.approx(sum(parts) / len(parts))


@given(masks(), small, small)
def test_expand_repeats_each_cell(mask, rows, columns):
    """Fine cell (i, j) is coarse cell (i // rows, j // columns)."""
    batch, h, w = mask.shape
    fine = expand(mask, (h * rows, w * columns))
    assert fine.dtype == torch.bool
    assert fine.shape == (batch, h * rows, w * columns)
    for b in range(batch):
        for i in range(h * rows):
            for j in range(w * columns):
                assert fine[b, i, j] == mask[b, i // rows, j // columns]


@given(masks(), st.sampled_from([(1, 1), (2, 1), (1, 3), (2, 2)]))
def test_coarsen_marks_cells_that_hold_anything_hidden(mask, factors):
    """Coarse cell (i, j) is hidden if any of its fine cells is."""
    rows, columns = factors
    mask = mask.repeat(1, rows, columns)
    batch, h, w = mask.shape
    coarse = coarsen(mask, (h // rows, w // columns))
    assert coarse.dtype == torch.bool
    for b in range(batch):
        for i in range(h // rows):
            for j in range(w // columns):
                parts = [mask[b, i * rows + y, j * columns + x] for y in range(rows) for x in range(columns)]
                assert coarse[b, i, j] == any(parts)


@given(masks(), small, small)
def test_coarsen_undoes_expand(mask, rows, columns):
    """A mask survives the way to a finer grid and back."""
    h, w = mask.shape[1:]
    assert torch.equal(coarsen(expand(mask, (h * rows, w * columns)), (h, w)), mask)


@given(masks(), st.integers(1, 3))
def test_coarsen_is_adjoint_to_expand(fine, factor):
    """For masks f (fine) and c (coarse): coarsen(f) lies in c exactly if f lies in expand(c)."""
    fine = fine.repeat(1, factor, factor)
    h, w = fine.shape[1] // factor, fine.shape[2] // factor
    coarse = torch.rand(fine.shape[0], h, w, generator=torch.Generator().manual_seed(int(fine.sum()))) < 0.7
    in_coarse = bool((coarsen(fine, (h, w)) <= coarse).all())
    in_fine = bool((fine <= expand(coarse, fine.shape[1:])).all())
    assert in_coarse == in_fine
    # The smallest cover by whole cells is a cover.
    assert (fine <= expand(coarsen(fine, (h, w)), fine.shape[1:])).all()


@given(masks(), small, small)
def test_regrid_takes_either_way(mask, rows, columns):
    """Finer and equal grids expand, coarser ones coarsen."""
    h, w = mask.shape[1:]
    fine = (h * rows, w * columns)
    assert torch.equal(regrid(mask, fine), expand(mask, fine))
    assert torch.equal(regrid(expand(mask, fine), (h, w)), mask)


@pytest.mark.parametrize('grid_hw', [(3, 4), (5, 8), (2, 3), (1, 3), (2, 8), (8, 2)])
@pytest.mark.parametrize('change', [expand, coarsen, regrid])
def test_grids_that_do_not_divide_are_refused(change, grid_hw):
    """The message names both grids and what to change; (2, 8) and (8, 2) are finer one way and coarser the other."""
    with pytest.raises(ValueError, match='mask_patch_size') as error:
        change(torch.ones(1, 4, 4, dtype=torch.bool), grid_hw)
    assert '4x4' in str(error.value)
    assert f'{grid_hw[0]}x{grid_hw[1]}' in str(error.value)


def test_expand_keeps_the_type():
    """Class labels are masks of integers."""
    labels = torch.tensor([[[1, 2]]])
    assert expand(labels, (2, 4)).tolist() == [[[1, 1, 2, 2], [1, 1, 2, 2]]]


@given(masks(), st.sampled_from([(1, 1), (2, 2), (1, 2)]))
def test_hidden_cells_are_the_flat_positions(mask, factors):
    """Image by image, row by row, in ascending order."""
    rows, columns = factors
    batch, h, w = mask.shape
    grid_hw = (h * rows, w * columns)
    cells = hidden_cells(mask, grid_hw)
    expected = [
        (b * grid_hw[0] + i) * grid_hw[1] + j
        for b in range(batch)
        for i in range(grid_hw[0])
        for j in range(grid_hw[1])
        if mask[b, i // rows, j // columns]
    ]
    assert cells.grid_hw == grid_hw
    assert cells.positions.dtype == torch.int64
    assert cells.positions.tolist() == expected


@given(masks(), small, st.integers(1, 3))
def test_gather_cuts_out_squares(mask, side, channels):
    """Patch n is the square of the n-th hidden cell, in the channel order of the map."""
    batch, h, w = mask.shape
    maps = torch.arange(batch * channels * h * side * w * side).view(batch, channels, h * side, w * side)
    patches = gather_cells(maps, hidden_cells(mask, (h, w)))
    squares = [
        maps[b, :, i * side : (i + 1) * side, j * side : (j + 1) * side]
        for b in range(batch)
        for i in range(h)
        for j in range(w)
        if mask[b, i, j]
    ]
    assert patches.shape == (len(squares), channels, side, side)
    for patch, square in zip(patches, squares, strict=True):
        assert torch.equal(patch, square)


def test_gather_takes_any_selection():
    """Cells need not be in order, nor come from a mask."""
    maps = torch.arange(2 * 4 * 6.0).view(2, 1, 4, 6)
    cells = Cells(torch.tensor([11, 0, 7]), (2, 3))  # image 1: lower right; image 0: upper left; image 1: upper middle
    patches = gather_cells(maps, cells)
    assert patches[:, 0].tolist() == [[[40, 41], [46, 47]], [[0, 1], [6, 7]], [[26, 27], [32, 33]]]


def test_gradients_flow_through_gather():
    """The gradient is 1 where a cell was taken and 0 elsewhere."""
    maps = torch.randn(1, 1, 4, 4, requires_grad=True)
    cells = Cells(torch.tensor([1]), (2, 2))
    gather_cells(maps, cells).sum().backward()
    assert maps.grad[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize('shape', [(5, 4), (4, 5), (4, 8), (1, 1), (0, 0)])
def test_maps_that_are_not_squares_of_the_grid_are_refused(shape):
    """Each cell is a square of whole positions."""
    with pytest.raises(ValueError, match=f'{shape[0]}x{shape[1]} positions .* 2x2 square cells'):
        gather_cells(torch.zeros(1, 1, *shape), Cells(torch.tensor([0]), (2, 2)))


@given(masks(), small, st.sampled_from(['pixels', 'finer', 'same', 'coarser']))
def test_hidden_weight_is_the_mask_in_the_cells(mask, side, kind):
    """Whatever the mask's grid, the weight is the pixel mask, cut like the map."""
    batch, h, w = mask.shape
    grid_hw, side = (h, w), 2 * side
    if kind == 'coarser':
        grid_hw = (2 * h, 2 * w)
        hidden = mask
    else:
        factor = {'pixels': side, 'finer': 2, 'same': 1}[kind]
        generator = torch.Generator().manual_seed(int(mask.sum()))
        hidden = expand(mask, (h * factor, w * factor))
        hidden = hidden & (torch.rand(hidden.shape, generator=generator) < 0.5)
    pixels = torch.zeros(batch, grid_hw[0] * side, grid_hw[1] * side, dtype=torch.bool)
    for b in range(batch):
        for y in range(pixels.shape[1]):
            for x in range(pixels.shape[2]):
                row, column = y * hidden.shape[1] // pixels.shape[1], x * hidden.shape[2] // pixels.shape[2]
                pixels[b, y, x] = hidden[b, row, column]
    cells = hidden_cells(hidden, grid_hw)
    weight = hidden_weight(hidden, cells, side)
    assert weight.dtype == torch.bool
    assert weight.shape == (len(cells.positions), 1, side, side)
    assert torch.equal(weight, gather_cells(pixels.unsqueeze(1), cells))
    assert weight.sum() == pixels.sum()  # no hidden pixel lies outside the selected cells


@given(masks(), small)
def test_blank_sets_hidden_pixels_alone(mask, side):
    """Hidden pixels of all channels become the value; the input stays as it is."""
    batch, h, w = mask.shape
    images = torch.randn(batch, 2, h * side, w * side)
    kept = images.clone()
    out = blank(images, mask, 7.0)
    assert torch.equal(images, kept)
    for b in range(batch):
        for y in range(h * side):
            for x in range(w * side):
                expected = torch.full((2,), 7.0) if mask[b, y // side, x // side] else images[b, :, y, x]
                assert torch.equal(out[b, :, y, x], expected)
