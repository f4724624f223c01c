"""The Triton kernels of window attention, backward, for windows of several blocks.

Registers do not hold all scores of such a window. Three kernels, one after the other, compute them block by block: for
queries, which leaves the two numbers that take a whole row of scores (the logarithm of the softmax's total, and the
mean of the gradients of its weights); for keys and values; and for the bias, in ``backward_bias.py``.
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
def backward_queries_kernel(
    grad,
    qkv,
    bias,
    logit_scale,
    grad_qkv,
    log_totals,
    means,
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
    """Gradients of BLOCK_M queries of one window for one head, BLOCK_N keys at a time, in two passes."""
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    ROW_BLOCKS: tl.constexpr = (TOKENS + BLOCK_M - 1) // BLOCK_M
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    dims = tl.arange(0, BLOCK_D)
    program = tl.program_id(0)
    head = program % HEADS
    window = program // (HEADS * ROW_BLOCKS)
    queries = (program // HEADS % ROW_BLOCKS) * BLOCK_M + tl.arange(0, BLOCK_M)
    factor = factor_of(logit_scale, head, scale, COSINE)
    first, top, left = place_of_window(window, height, width, WINDOW_H, WINDOW_W)
    q_places, q_sides = places_of_tokens(queries, top, left, height, width, shift_h, shift_w, WINDOW_W)
    start = qkv + first * 3 * WIDTH + head * HEAD_DIM
    q = load_tile(start, q_places * 3 * WIDTH, queries < TOKENS, dims, HEAD_DIM)
    grad_start = grad + first * WIDTH + head * HEAD_DIM
    grad_out = load_tile(grad_start, q_places * WIDTH, queries < TOKENS, dims, HEAD_DIM)
    if COSINE:
        q_unit, q_inverse = unit_rows(q)
        q = q_unit.to(q.dtype)
    highest = tl.full((BLOCK_M,), float('-inf'), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    mean = tl.zeros((BLOCK_M,), tl.float32)
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
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        higher = tl.maximum(highest, tl.max(scores, axis=1))
        weights = tl.exp(scores - higher[:, None])
        kept = tl.exp(highest - higher)
        total = total * kept + tl.sum(weights, axis=1)
        mean = mean * kept + tl.sum(weights * grad_weights, axis=1)
        highest = higher
    log_total = highest + tl.log(total)
    mean = mean / total
    rows = (window * HEADS + head) * TOKENS + queries
    tl.store(log_totals + rows, log_total, mask=queries < TOKENS)
    tl.store(means + rows, mean, mask=queries < TOKENS)
    grad_q = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
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
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        grad_scores = tl.exp(scores - log_total[:, None]) * (grad_weights - mean[:, None])
        grad_q += tl.dot(grad_scores.to(v.dtype), k, input_precision=PRECISION)
    grad_q = grad_q * factor
    if COSINE:
        grad_q = backward_of_unit(grad_q, q_unit, q_inverse)
    grad_start = grad_qkv + first * 3 * WIDTH + head * HEAD_DIM
    store_tile(grad_start, q_places * 3 * WIDTH, queries < TOKENS, grad_q, dims, HEAD_DIM)


@jit
def backward_keys_kernel(
    grad,
    qkv,
    bias,
    logit_scale,
    grad_qkv,
    log_totals,
    means,
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
    """Gradients of BLOCK_M keys and values of one window for one head, BLOCK_N queries at a time.

    Scores stand transposed here, (keys, queries), so that no product has to transpose them.
    """
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    ROW_BLOCKS: tl.constexpr = (TOKENS + BLOCK_M - 1) // BLOCK_M
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    dims = tl.arange(0, BLOCK_D)
    program = tl.program_id(0)
    head = program % HEADS
    window = program // (HEADS * ROW_BLOCKS)
    keys = (program // HEADS % ROW_BLOCKS) * BLOCK_M + tl.arange(0, BLOCK_M)
    factor = factor_of(logit_scale, head, scale, COSINE)
    first, top, left = place_of_window(window, height, width, WINDOW_H, WINDOW_W)
    k_places, k_sides = places_of_tokens(keys, top, left, height, width, shift_h, shift_w, WINDOW_W)
    start = qkv + first * 3 * WIDTH + head * HEAD_DIM
    k = load_tile(start + WIDTH, k_places * 3 * WIDTH, keys < TOKENS, dims, HEAD_DIM)
    v = load_tile(start + 2 * WIDTH, k_places * 3 * WIDTH, keys < TOKENS, dims, HEAD_DIM)
    grad_start = grad + first * WIDTH + head * HEAD_DIM
    if COSINE:
        k_unit, k_inverse = unit_rows(k)
        k = k_unit.to(k.dtype)
    grad_k = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
    grad_v = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
    for block in range(0, TOKENS, BLOCK_N):
        queries = block + tl.arange(0, BLOCK_N)
        q_places, q_sides = places_of_tokens(queries, top, left, height, width, shift_h, shift_w, WINDOW_W)
        q = load_tile(start, q_places * 3 * WIDTH, queries < TOKENS, dims, HEAD_DIM)
        grad_out = load_tile(grad_start, q_places * WIDTH, queries < TOKENS, dims, HEAD_DIM)
        if COSINE:
            q = unit_rows(q)[0].to(q.dtype)
        rows = (window * HEADS + head) * TOKENS + queries
        log_total = tl.load(log_totals + rows, mask=queries < TOKENS, other=0.0)
        mean = tl.load(means + rows, mask=queries < TOKENS, other=0.0)
        scores = tl.dot(k, tl.trans(q), input_precision=PRECISION) * factor
        scores += bias_of(bias, head, queries[None, :], keys[:, None], TOKENS)
        if SHIFTED:
            scores = separate(scores, k_sides, q_sides)
        weights = tl.exp(scores - log_total[None, :])
        grad_weights = tl.dot(v, tl.trans(grad_out), input_precision=PRECISION)
        grad_scores = weights * (grad_weights - mean[None, :])
        grad_v += tl.dot(weights.to(v.dtype), grad_out, input_precision=PRECISION)
        grad_k += tl.dot(grad_scores.to(v.dtype), q, input_precision=PRECISION)
    grad_k = grad_k * factor
    if COSINE:
        grad_k = backward_of_unit(grad_k, k_unit, k_inverse)
    grad_start = grad_qkv + first * 3 * WIDTH + head * HEAD_DIM
    store_tile(grad_start + WIDTH, k_places * 3 * WIDTH, keys < TOKENS, grad_k, dims, HEAD_DIM)
    store_tile(grad_start + 2 * WIDTH, k_places * 3 * WIDTH, keys < TOKENS, grad_v, dims, HEAD_DIM)
