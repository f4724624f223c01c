"""The Triton kernel of window attention, backward, for the bias of windows of several blocks.

See ``backward_blocks.py``. As in ``backward_kernel.py``, a program goes through windows of many images.
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
    unit_rows,
)


@jit
def backward_bias_kernel(
    grad,
    qkv,
    bias,
    logit_scale,
    grad_bias,
    grad_scale,
    log_totals,
    means,
    num_windows,
    num_groups,
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
    BLOCK_D: tl.constexpr,
    SHIFTED: tl.constexpr,
    COSINE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradient of BLOCK_M x BLOCK_M pairs of the bias of one head, a sum in registers over windows of many images."""
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    BLOCKS: tl.constexpr = (TOKENS + BLOCK_M - 1) // BLOCK_M
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    dims = tl.arange(0, BLOCK_D)
    program = tl.program_id(0)
    head = program % HEADS
    block = program // HEADS % (BLOCKS * BLOCKS)
    group = program // (HEADS * BLOCKS * BLOCKS)
    queries = (block // BLOCKS) * BLOCK_M + tl.arange(0, BLOCK_M)
    keys = (block % BLOCKS) * BLOCK_M + tl.arange(0, BLOCK_M)
    bias_tile = bias_of(bias, head, queries[:, None], keys[None, :], TOKENS)
    bias_sum = tl.zeros((BLOCK_M, BLOCK_M), tl.float32)
    scale_sum = tl.zeros((BLOCK_M,), tl.float32)
    factor = factor_of(logit_scale, head, scale, COSINE)
    for window in range(group, num_windows, num_groups):
        first, top, left = place_of_window(window, height, width, WINDOW_H, WINDOW_W)
        q_places, q_sides = places_of_tokens(queries, top, left, height, width, shift_h, shift_w, WINDOW_W)
        k_places, k_sides = places_of_tokens(keys, top, left, height, width, shift_h, shift_w, WINDOW_W)
        start = qkv + first * 3 * WIDTH + head * HEAD_DIM
        q = load_tile(start, q_places * 3 * WIDTH, queries < TOKENS, dims, HEAD_DIM)
        k = load_tile(start + WIDTH, k_places * 3 * WIDTH, keys < TOKENS, dims, HEAD_DIM)
        v = load_tile(start + 2 * WIDTH, k_places * 3 * WIDTH, keys < TOKENS, dims, HEAD_DIM)
        grad_start = grad + first * WIDTH + head * HEAD_DIM
        grad_out = load_tile(grad_start, q_places * WIDTH, queries < TOKENS, dims, HEAD_DIM)
        if COSINE:
            q = unit_rows(q)[0].to(q.dtype)
            k = unit_rows(k)[0].to(k.dtype)
        rows = (window * HEADS + head) * TOKENS + queries
        log_total = tl.load(log_totals + rows, mask=queries < TOKENS, other=0.0)
        mean = tl.load(means + rows, mask=queries < TOKENS, other=0.0)
        products = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        scores = products * factor + bias_tile
        if SHIFTED:
            scores = separate(scores, q_sides, k_sides)
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        grad_scores = tl.exp(scores - log_total[:, None]) * (grad_weights - mean[:, None])
        bias_sum += grad_scores
        if COSINE:
            scale_sum += tl.sum(grad_scores * products, axis=1)
    pairs = (group * HEADS + head).to(tl.int64) * TOKENS * TOKENS + queries[:, None] * TOKENS + keys[None, :]
    tl.store(grad_bias + pairs, bias_sum, mask=(queries < TOKENS)[:, None] & (keys < TOKENS)[None, :])
    if COSINE:
        tl.store(grad_scale + program, tl.sum(scale_sum, axis=0))
