"""The Triton kernel of window attention, forward: the map is never rolled, partitioned or padded in memory.

A program computes one block of queries of one window for one head. It goes through the keys block by block with a
running softmax, so that windows of any size take few registers. What a window lacks to whole blocks is padded in
registers, which costs multiplications but no traffic.
"""

from __future__ import annotations

from simmim_mm.acceleration.window_attention.language import jit, tl
from simmim_mm.acceleration.window_attention.tiles import (
    bias_of,
    factor_of,
    load_tile,
    place_of_window,
    places_of_tokens,
    separate,
    store_tile,
    unit_rows,
)


@jit
def forward_kernel(
    qkv,
    bias,
    logit_scale,
    out,
    height,
    width,
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
    """Output of BLOCK_M queries, BLOCK_N keys at a time. Heads are neighbours, since they share cache lines."""
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    ROW_BLOCKS: tl.constexpr = (TOKENS + BLOCK_M - 1) // BLOCK_M
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    dims = tl.arange(0, BLOCK_D)
    program = tl.program_id(0)
    head = program % HEADS
    queries = (program // HEADS % ROW_BLOCKS) * BLOCK_M + tl.arange(0, BLOCK_M)
    factor = factor_of(logit_scale, head, scale, COSINE)
    first, top, left = place_of_window(program // (HEADS * ROW_BLOCKS), height, width, WINDOW_H, WINDOW_W)
    q_places, q_sides = places_of_tokens(queries, top, left, height, width, shift_h, shift_w, WINDOW_W)
    start = qkv + first * 3 * WIDTH + head * HEAD_DIM
    q = load_tile(start, q_places * 3 * WIDTH, queries < TOKENS, dims, HEAD_DIM)
    if COSINE:
        q = unit_rows(q)[0].to(q.dtype)
    highest = tl.full((BLOCK_M,), float('-inf'), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    result = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
    for block in range(0, TOKENS, BLOCK_N):
        keys = block + tl.arange(0, BLOCK_N)
        k_places, k_sides = places_of_tokens(keys, top, left, height, width, shift_h, shift_w, WINDOW_W)
        k = load_tile(start + WIDTH, k_places * 3 * WIDTH, keys < TOKENS, dims, HEAD_DIM)
        v = load_tile(start + 2 * WIDTH, k_places * 3 * WIDTH, keys < TOKENS, dims, HEAD_DIM)
        if COSINE:
            k = unit_rows(k)[0].to(k.dtype)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * factor
        scores += bias_of(bias, head, queries[:, None], keys[None, :], TOKENS)
        if SHIFTED:
            scores = separate(scores, q_sides, k_sides)
        higher = tl.maximum(highest, tl.max(scores, axis=1))
        weights = tl.exp(scores - higher[:, None])
        kept = tl.exp(highest - higher)
        total = total * kept + tl.sum(weights, axis=1)
        result = result * kept[:, None] + tl.dot(weights.to(v.dtype), v, input_precision=PRECISION)
        highest = higher
    result = result / total[:, None]
    store_tile(out + first * WIDTH + head * HEAD_DIM, q_places * WIDTH, queries < TOKENS, result, dims, HEAD_DIM)
