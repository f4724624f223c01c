"""The Triton kernels of window attention, backward: scores are computed anew, none are kept.

The gradient of the bias is a sum in registers of each program, over all windows that it goes through, and one entry of
a small workspace at its end: no atomic additions, so the same numbers in every run. See ``forward_kernel.py``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from simmim_mm.acceleration.window_attention.tiles import (
    backward_of_unit,
    load_bias,
    load_tile,
    place_of_window,
    places_of_tokens,
    separate,
    store_tile,
    unit_rows,
)


@triton.jit
def backward_rows_kernel(
    grad,
    qkv,
    bias,
    logit_scale,
    grad_qkv,
    grad_bias,
    grad_scale,
    log_totals,
    means,
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
    """Gradients of BLOCK_M queries of each window and of their bias, for one head.

    Where one block holds all queries of a window, gradients of keys and values too. Where it does not, it leaves for
    ``backward_columns_kernel`` the two numbers of each query that take its whole row of scores: the logarithm of the
    softmax's total, and the mean of the gradients of its weights.
    """
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    ROW_BLOCKS: tl.constexpr = (TOKENS + BLOCK_M - 1) // BLOCK_M
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    program = tl.program_id(0)
    head = program % HEADS
    row_block = program // HEADS % ROW_BLOCKS
    group = program // (HEADS * ROW_BLOCKS)
    queries = row_block * BLOCK_M + tl.arange(0, BLOCK_M)
    keys = tl.arange(0, BLOCK_N)
    dims = tl.arange(0, BLOCK_D)
    bias_tile = load_bias(bias, head, queries, keys, TOKENS)
    bias_sum = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    scale_sum = tl.zeros((BLOCK_M,), tl.float32)
    factor = scale
    if COSINE:
        factor = tl.load(logit_scale + head).to(tl.float32)
    for window in range(group, num_windows, num_groups):
        image, top, left = place_of_window(window, height, width, WINDOW_H, WINDOW_W)
        q_rows, q_columns, q_sides = places_of_tokens(queries, top, left, height, width, shift_h, shift_w, WINDOW_W)
        k_rows, k_columns, k_sides = places_of_tokens(keys, top, left, height, width, shift_h, shift_w, WINDOW_W)
        start = qkv + image * stride_image + head * HEAD_DIM
        q_offsets = q_rows * stride_row + q_columns * stride_column
        k_offsets = k_rows * stride_row + k_columns * stride_column
        q = load_tile(start, q_offsets, dims, queries < TOKENS, HEAD_DIM)
        k = load_tile(start + WIDTH, k_offsets, dims, keys < TOKENS, HEAD_DIM)
        v = load_tile(start + 2 * WIDTH, k_offsets, dims, keys < TOKENS, HEAD_DIM)
        out_offsets = (q_rows * width + q_columns) * WIDTH
        out_start = grad + image * height * width * WIDTH + head * HEAD_DIM
        grad_out = load_tile(out_start, out_offsets, dims, queries < TOKENS, HEAD_DIM)
        if COSINE:
            q_unit, q_inverse = unit_rows(q)
            k_unit, k_inverse = unit_rows(k)
            q = q_unit.to(v.dtype)
            k = k_unit.to(v.dtype)
        products = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        scores = products * factor + bias_tile
        if SHIFTED:
            scores = separate(scores, q_sides, k_sides)
        highest = tl.max(scores, axis=1)
        weights = tl.exp(scores - highest[:, None])
        total = tl.sum(weights, axis=1)
        weights = weights / total[:, None]
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        mean = tl.sum(weights * grad_weights, axis=1)
        grad_scores = weights * (grad_weights - mean[:, None])
        bias_sum += grad_scores
        if COSINE:
            scale_sum += tl.sum(grad_scores * products, axis=1)
        rounded = grad_scores.to(v.dtype)
        grad_q = tl.dot(rounded, k, input_precision=PRECISION) * factor
        if COSINE:
            grad_q = backward_of_unit(grad_q, q_unit, q_inverse)
        grad_start = grad_qkv + image * height * width * 3 * WIDTH + head * HEAD_DIM
        store_tile(grad_start, 3 * out_offsets, dims, queries < TOKENS, grad_q, HEAD_DIM)
        if ROW_BLOCKS == 1:
            grad_k = tl.dot(tl.trans(rounded), q, input_precision=PRECISION) * factor
            if COSINE:
                grad_k = backward_of_unit(grad_k, k_unit, k_inverse)
            grad_v = tl.dot(tl.trans(weights.to(v.dtype)), grad_out, input_precision=PRECISION)
            offsets = 3 * (k_rows * width + k_columns) * WIDTH
            store_tile(grad_start + WIDTH, offsets, dims, keys < TOKENS, grad_k, HEAD_DIM)
            store_tile(grad_start + 2 * WIDTH, offsets, dims, keys < TOKENS, grad_v, HEAD_DIM)
        else:
            places = (window * HEADS + head) * TOKENS + queries
            tl.store(log_totals + places, highest + tl.log(total), mask=queries < TOKENS)
            tl.store(means + places, mean, mask=queries < TOKENS)
    sums = group * HEADS + head
    exists = (queries < TOKENS)[:, None] & (keys < TOKENS)[None, :]
    places = sums.to(tl.int64) * TOKENS * TOKENS + queries[:, None] * TOKENS + keys[None, :]
    tl.store(grad_bias + places, bias_sum, mask=exists)
    if COSINE:
        tl.store(grad_scale + sums * ROW_BLOCKS + row_block, tl.sum(scale_sum, axis=0))


@triton.jit
def backward_columns_kernel(
    grad,
    qkv,
    bias,
    logit_scale,
    grad_qkv,
    log_totals,
    means,
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
    """Gradients of BLOCK_M keys and values of one window, for one head; after ``backward_rows_kernel``.

    Scores stand transposed here, (keys, queries), so that no product has to transpose them.
    """
    TOKENS: tl.constexpr = WINDOW_H * WINDOW_W
    ROW_BLOCKS: tl.constexpr = (TOKENS + BLOCK_M - 1) // BLOCK_M
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    program = tl.program_id(0)
    head = program % HEADS
    window = program // (HEADS * ROW_BLOCKS)
    keys = (program // HEADS % ROW_BLOCKS) * BLOCK_M + tl.arange(0, BLOCK_M)
    queries = tl.arange(0, BLOCK_N)
    dims = tl.arange(0, BLOCK_D)
    factor = scale
    if COSINE:
        factor = tl.load(logit_scale + head).to(tl.float32)
    image, top, left = place_of_window(window, height, width, WINDOW_H, WINDOW_W)
    q_rows, q_columns, q_sides = places_of_tokens(queries, top, left, height, width, shift_h, shift_w, WINDOW_W)
    k_rows, k_columns, k_sides = places_of_tokens(keys, top, left, height, width, shift_h, shift_w, WINDOW_W)
    start = qkv + image * stride_image + head * HEAD_DIM
    q_offsets = q_rows * stride_row + q_columns * stride_column
    k_offsets = k_rows * stride_row + k_columns * stride_column
    q = load_tile(start, q_offsets, dims, queries < TOKENS, HEAD_DIM)
    k = load_tile(start + WIDTH, k_offsets, dims, keys < TOKENS, HEAD_DIM)
    v = load_tile(start + 2 * WIDTH, k_offsets, dims, keys < TOKENS, HEAD_DIM)
    out_offsets = (q_rows * width + q_columns) * WIDTH
    out_start = grad + image * height * width * WIDTH + head * HEAD_DIM
    grad_out = load_tile(out_start, out_offsets, dims, queries < TOKENS, HEAD_DIM)
    if COSINE:
        q = unit_rows(q)[0].to(v.dtype)
        k_unit, k_inverse = unit_rows(k)
        k = k_unit.to(v.dtype)
    exists = (queries < TOKENS)[None, :] & (keys < TOKENS)[:, None]
    places = head * TOKENS * TOKENS + queries[None, :] * TOKENS + keys[:, None]
    bias_tile = tl.load(bias + places, mask=exists, other=0.0).to(tl.float32)
    scores = tl.dot(k, tl.trans(q), input_precision=PRECISION) * factor + bias_tile
    if SHIFTED:
        scores = separate(scores, k_sides, q_sides)
    places = (window * HEADS + head) * TOKENS + queries
    log_total = tl.load(log_totals + places, mask=queries < TOKENS, other=0.0)
    mean = tl.load(means + places, mask=queries < TOKENS, other=0.0)
    weights = tl.where(exists, tl.exp(scores - log_total[None, :]), 0.0)
    grad_weights = tl.dot(v, tl.trans(grad_out), input_precision=PRECISION)
    grad_scores = weights * (grad_weights - mean[None, :])
    grad_k = tl.dot(grad_scores.to(v.dtype), q, input_precision=PRECISION) * factor
    if COSINE:
        grad_k = backward_of_unit(grad_k, k_unit, k_inverse)
    grad_v = tl.dot(weights.to(v.dtype), grad_out, input_precision=PRECISION)
    grad_start = grad_qkv + image * height * width * 3 * WIDTH + head * HEAD_DIM
    offsets = 3 * (k_rows * width + k_columns) * WIDTH
    store_tile(grad_start + WIDTH, offsets, dims, keys < TOKENS, grad_k, HEAD_DIM)
    store_tile(grad_start + 2 * WIDTH, offsets, dims, keys < TOKENS, grad_v, HEAD_DIM)
