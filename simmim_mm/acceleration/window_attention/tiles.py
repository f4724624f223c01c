"""What the kernels of window attention share: where tokens lie, and tiles of them.

Names in capitals are known at compile time. Compiled with Triton 3.1 to 3.9.
"""

from __future__ import annotations

from simmim_mm.acceleration.window_attention.language import jit, tl


@jit
def place_of_window(window, height, width, WINDOW_H: tl.constexpr, WINDOW_W: tl.constexpr):
    """The first token of the image of a window, and the window's upper left corner on the rolled map."""
    across = width // WINDOW_W
    of_image = (height // WINDOW_H) * across
    place = window % of_image
    first = (window // of_image).to(tl.int64) * height * width
    return first, (place // across) * WINDOW_H, (place % across) * WINDOW_W


@jit
def places_of_tokens(tokens, top, left, height, width, shift_h, shift_w, WINDOW_W: tl.constexpr):
    """Places of tokens of a window on the map that is not rolled, and which side of the seams they are on."""
    rows = top + tokens // WINDOW_W
    columns = left + tokens % WINDOW_W
    sides = (rows >= height - shift_h).to(tl.int32) * 2 + (columns >= width - shift_w).to(tl.int32)
    rows += shift_h
    columns += shift_w
    rows = tl.where(rows >= height, rows - height, rows)
    columns = tl.where(columns >= width, columns - width, columns)
    return rows * width + columns, sides


@jit
def load_tile(start, offsets, exists, dims, HEAD_DIM: tl.constexpr):
    """(tokens, channels) of one head, zero where there is none."""
    mask = exists[:, None] & (dims < HEAD_DIM)[None, :]
    return tl.load(start + offsets[:, None] + dims[None, :], mask=mask, other=0.0)


@jit
def store_tile(start, offsets, exists, tile, dims, HEAD_DIM: tl.constexpr):
    """Writes what exists of (tokens, channels) of one head."""
    mask = exists[:, None] & (dims < HEAD_DIM)[None, :]
    tl.store(start + offsets[:, None] + dims[None, :], tile.to(start.dtype.element_ty), mask=mask)


@jit
def bias_of(bias, head, queries, keys, TOKENS: tl.constexpr):
    """The bias of pairs in fp32, minus infinity where there is no key, for places such as (n, 1) and (1, m)."""
    mask = (queries < TOKENS) & (keys < TOKENS)
    tile = tl.load(bias + head * TOKENS * TOKENS + queries * TOKENS + keys, mask=mask, other=0.0).to(tl.float32)
    return tl.where(keys < TOKENS, tile, float('-inf'))


@jit
def separate(scores, sides_of_rows, sides_of_columns):
    """Lowers the scores of tokens that only the roll brought together (SEPARATED of reference.py)."""
    return scores + tl.where(sides_of_rows[:, None] != sides_of_columns[None, :], -100.0, 0.0)


@jit
def factor_of(logit_scale, head, scale, COSINE: tl.constexpr):
    """What multiplies the products, or the cosines, of one head."""
    factor = scale
    if COSINE:
        factor = tl.load(logit_scale + head).to(tl.float32)
    return factor


@jit
def unit_rows(tile):
    """Rows at length 1 in fp32, and what they were multiplied by; as torch.nn.functional.normalize does."""
    tile = tile.to(tl.float32)
    inverse = 1.0 / tl.maximum(tl.sqrt(tl.sum(tile * tile, axis=1)), 1e-12)
    return tile * inverse[:, None], inverse


@jit
def backward_of_unit(grad, unit, inverse):
    """Gradient of rows from that of their unit rows."""
    return (grad - unit * tl.sum(unit * grad, axis=1)[:, None]) * inverse[:, None]
