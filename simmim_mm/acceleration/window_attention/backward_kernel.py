"""The Triton kernel of window attention, backward, for windows that fit into one block.

Scores are computed anew; none are kept from the forward pass. A program goes through windows of many images for one
head: ``num_groups`` programs share the windows of a batch. The gradient of the bias is a sum in registers of each
program, and one entry of a small workspace at its end: no atomic additions, so the same numbers in every run.
"""

from __future__ import annotations

from simmim_mm.acceleration.window_attention.language import jit, tl
from simmim_mm.acceleration.window_attention.tiles import (
    backward_of_unit,
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
def backward_kernel(
    grad,
    qkv,
    bias,
    logit_scale,
    grad_qkv,
    grad_bias,
    grad_scale,
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
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SHIFTED: tl.constexpr,
    COSINE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """All gradients of windows of at most BLOCK_N tokens."""
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    dims = tl.arange(0, BLOCK_D)
    program = tl.program_id(0)
    head = program % HEADS
    tokens = tl.arange(0, BLOCK_N)
    exists = tokens < TOKENS
    bias_tile = bias_of(bias, head, tokens[:, None], tokens[None, :], TOKENS)
    bias_sum = tl.zeros((BLOCK_N, BLOCK_N), tl.float32)
    scale_sum = tl.zeros((BLOCK_N,), tl.float32)
    factor = factor_of(logit_scale, head, scale, COSINE)
    for window in range(program // HEADS, num_windows, num_groups):
        first, top, left = place_of_window(window, height, width, WINDOW_H, WINDOW_W)
        places, sides = places_of_tokens(tokens, top, left, height, width, shift_h, shift_w, WINDOW_W)
        start = qkv + first * 3 * WIDTH + head * HEAD_DIM
        q = load_tile(start, places * 3 * WIDTH, exists, dims, HEAD_DIM)
        k = load_tile(start + WIDTH, places * 3 * WIDTH, exists, dims, HEAD_DIM)
        v = load_tile(start + 2 * WIDTH, places * 3 * WIDTH, exists, dims, HEAD_DIM)
        grad_out = load_tile(grad + first * WIDTH + head * HEAD_DIM, places * WIDTH, exists, dims, HEAD_DIM)
        if COSINE:
            q_unit, q_inverse = unit_rows(q)
            k_unit, k_inverse = unit_rows(k)
            q = q_unit.to(v.dtype)
            k = k_unit.to(v.dtype)
        products = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        scores = products * factor + bias_tile
        if SHIFTED:
            scores = separate(scores, sides, sides)
        weights = tl.exp(scores - tl.max(scores, axis=1)[:, None])
        weights = weights / tl.sum(weights, axis=1)[:, None]
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        grad_scores = weights * (grad_weights - tl.sum(weights * grad_weights, axis=1)[:, None])
        bias_sum += grad_scores
        if COSINE:
            scale_sum += tl.sum(grad_scores * products, axis=1)
        rounded = grad_scores.to(v.dtype)
        grad_q = tl.dot(rounded, k, input_precision=PRECISION) * factor
        grad_k = tl.dot(tl.trans(rounded), q, input_precision=PRECISION) * factor
        grad_v = tl.dot(tl.trans(weights.to(v.dtype)), grad_out, input_precision=PRECISION)
        if COSINE:
            grad_q = backward_of_unit(grad_q, q_unit, q_inverse)
            grad_k = backward_of_unit(grad_k, k_unit, k_inverse)
        start = grad_qkv + first * 3 * WIDTH + head * HEAD_DIM
        store_tile(start, places * 3 * WIDTH, exists, grad_q, dims, HEAD_DIM)
        store_tile(start + WIDTH, places * 3 * WIDTH, exists, grad_k, dims, HEAD_DIM)
        store_tile(start + 2 * WIDTH, places * 3 * WIDTH, exists, grad_v, dims, HEAD_DIM)
    pairs = program.to(tl.int64) * TOKENS * TOKENS + tokens[:, None] * TOKENS + tokens[None, :]
    tl.store(grad_bias + pairs, bias_sum, mask=exists[:, None] & exists[None, :])
    if COSINE:
        tl.store(grad_scale + program, tl.sum(scale_sum, axis=0))
