"""The Triton kernel of window attention, forward: the map is never rolled, partitioned or padded in memory.

Each program belongs to one head and one block of queries, keeps their bias in registers, and goes through windows of
many images: ``num_groups`` programs share the windows of a batch. Tokens of a window are padded to a power of two in
registers, which costs multiplications but no traffic. Names in capitals are known at compile time.

Needs Triton 3.0 or later, and is imported only to run.
"""

from __future__ import annotations

import triton
import triton.language as tl

from simmim_mm.acceleration.window_attention.tiles import (
    load_bias,
    load_tile,
    place_of_window,
    places_of_tokens,
    separate,
    store_tile,
    unit_rows,
)


@triton.jit
def forward_kernel(
    qkv,
    bias,
    logit_scale,
    out,
    num_windows,
    num_groups,
    height,
    width,
    stride_image,
    stride_row,
    stride_column,
    shift_h,
    shift_w,
    scale,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    WINDOW_H: tl.constexpr,
    WINDOW_W: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SHIFTED: tl.constexpr,
    COSINE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Output of BLOCK_M queries of each window, for one head."""
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    ROW_BLOCKS: tl.constexpr = (TOKENS + BLOCK_M - 1) // BLOCK_M
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    program = tl.program_id(0)
    head = program % HEADS
    queries = (program // HEADS % ROW_BLOCKS) * BLOCK_M + tl.arange(0, BLOCK_M)
    keys = tl.arange(0, BLOCK_N)
    dims = tl.arange(0, BLOCK_D)
    bias_tile = load_bias(bias, head, queries, keys, TOKENS)
    factor = scale
    if COSINE:
        factor = tl.load(logit_scale + head).to(tl.float32)
    for window in range(program // (HEADS * ROW_BLOCKS), num_windows, num_groups):
        image, top, left = place_of_window(window, height, width, WINDOW_H, WINDOW_W)
        q_rows, q_columns, q_sides = places_of_tokens(queries, top, left, height, width, shift_h, shift_w, WINDOW_W)
        k_rows, k_columns, k_sides = places_of_tokens(keys, top, left, height, width, shift_h, shift_w, WINDOW_W)
        start = qkv + image * stride_image + head * HEAD_DIM
        q_offsets = q_rows * stride_row + q_columns * stride_column
        k_offsets = k_rows * stride_row + k_columns * stride_column
        q = load_tile(start, q_offsets, dims, queries < TOKENS, HEAD_DIM)
        k = load_tile(start + WIDTH, k_offsets, dims, keys < TOKENS, HEAD_DIM)
        v = load_tile(start + 2 * WIDTH, k_offsets, dims, keys < TOKENS, HEAD_DIM)
        if COSINE:
            q = unit_rows(q)[0].to(v.dtype)
            k = unit_rows(k)[0].to(v.dtype)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * factor + bias_tile
        if SHIFTED:
            scores = separate(scores, q_sides, k_sides)
        weights = tl.exp(scores - tl.max(scores, axis=1)[:, None])
        total = tl.sum(weights, axis=1)
        result = tl.dot(weights.to(v.dtype), v, input_precision=PRECISION) / total[:, None]
        out_offsets = (q_rows * width + q_columns) * WIDTH
        out_start = out + image * height * width * WIDTH + head * HEAD_DIM
        store_tile(out_start, out_offsets, dims, queries < TOKENS, result, HEAD_DIM)
