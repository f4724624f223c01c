"""The Triton kernels of window attention against the plain path in fp64.

On a GPU where there is one, otherwise under Triton's interpreter, which must be on before Triton is imported:

    TRITON_INTERPRET=1 python -m pytest tests/acceleration/kernels_on_device.py

`test_window_attention_kernels.py` runs this file so.
"""

from __future__ import annotations

import pytest
import torch

from simmim_mm.acceleration.window_attention import is_interpreted, reference, window_attention

DEVICE = torch.device('cuda' if torch.cuda.is_available() and not is_interpreted() else 'cpu')
if DEVICE.type == 'cpu' and not is_interpreted():
    pytest.fail('without a GPU, set TRITON_INTERPRET=1, or the plain path is compared with itself', pytrace=False)

# (images, map, window, shift, heads, width of a head). Under the interpreter a window takes 30 ms for each head.
CASES = {
    '4x4': (1, (4, 8), (4, 4), (2, 2), 2, 32),
    '6x6 oblong map': (1, (6, 12), (6, 6), (3, 3), 1, 32),
    '7x7 several images': (3, (7, 7), (7, 7), (0, 0), 1, 16),
    '8x8 whole map': (1, (8, 8), (8, 8), (0, 0), 2, 32),
    '9x9': (1, (9, 9), (9, 9), (4, 4), 1, 16),
    '12x12': (1, (12, 12), (12, 12), (6, 6), 1, 32),
    '2x3 narrow heads': (1, (4, 6), (2, 3), (1, 0), 1, 24),
}
FULL = {'10x10': (2, (20, 20), (10, 10), (5, 5), 3, 64), '16x16': (2, (32, 48), (16, 16), (8, 8), 4, 32)}
DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
KINDS = [('fp32', False), ('fp32', True), ('fp16', True)]  # (precision, whether scores are cosines)
if DEVICE.type == 'cuda':
    CASES.update(FULL)
    KINDS += [('fp16', False), ('bf16', False), ('bf16', True)]
CASES_OF_KINDS = [(case, *kind) for case in CASES for kind in KINDS]
if DEVICE.type == 'cpu':  # one of the slow ones is enough
    CASES_OF_KINDS = [case for case in CASES_OF_KINDS if case[0] != '12x12' or case[1:] == KINDS[1]]
# Relative to the largest value: some units of the last place of what is rounded in between.
TOLERANCES = {'fp32': 5e-6, 'fp16': 2e-3, 'bf16': 2e-2}


def run(case, dtype, cosine):
    """Result and gradients of the operator on the device, and the same of the plain path in fp64."""
    images, grid_hw, window, shift, heads, width = CASES[case]
    num_tokens = window[0] * window[1]
    qkv = torch.randn(images, *grid_hw, 3 * heads * width).to(DEVICE, dtype)
    bias = torch.randn(heads, num_tokens, num_tokens).to(DEVICE)
    logit_scale = (1 + 19 * torch.rand(heads)).to(DEVICE) if cosine else None
    grad = torch.randn(images, *grid_hw, heads * width).to(DEVICE, dtype)
    tensors = [tensor.requires_grad_() for tensor in (qkv, bias, logit_scale) if tensor is not None]
    result = window_attention(qkv, bias, window, shift, heads, logit_scale=logit_scale)
    got = (result.detach(), *torch.autograd.grad(result, tensors, grad))
    exact = [None if tensor is None else tensor.detach().double() for tensor in (qkv, bias, logit_scale)]
    settings = (window, shift, heads, width**-0.5)
    wanted = (
        reference.window_attention_forward(*exact, *settings),
        *reference.window_attention_backward(grad.double(), *exact, *settings),
    )
    return got, wanted[: len(got)]


@pytest.mark.parametrize(('case', 'dtype', 'cosine'), CASES_OF_KINDS)
def test_kernels_equal_the_plain_path(case, dtype, cosine):
    got, wanted = run(case, DTYPES[dtype], cosine)
    for result, expected, name in zip(got, wanted, ('result', 'qkv', 'bias', 'logit_scale'), strict=False):
        assert result.dtype == (DTYPES[dtype] if name in ('result', 'qkv') else torch.float32)
        error = (result.double() - expected).abs().max() / expected.abs().max()
        # That of logit_scale is one number, and what it sums nearly cancels: each row of scores has gradients of sum 0.
        assert error <= TOLERANCES[dtype] * (10 if name == 'logit_scale' else 1), f'{name}: {error:.1e}'


def test_strided_maps_and_gradients():
    qkv, bias = torch.randn(1, 4, 8, 96).to(DEVICE), torch.randn(1, 16, 16).to(DEVICE)
    settings = ((4, 4), (0, 0), 1)
    expected = window_attention(qkv[:, :, 4:].contiguous(), bias, *settings)
    torch.testing.assert_close(window_attention(qkv[:, :, 4:], bias, *settings), expected, rtol=0, atol=0)
    turned = qkv[:, :, :4].requires_grad_()
    window_attention(turned, bias, *settings).sum().backward()  # a gradient of strides 0
    assert turned.grad.isfinite().all()


def test_every_run_gives_the_same_gradients():
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append(run('2x3 narrow heads', torch.float32, cosine=True)[0])
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)


@pytest.mark.skipif(DEVICE.type != 'cpu', reason='GPUs multiply bfloat16 well')
def test_interpreter_refuses_bfloat16():
    qkv, bias = torch.randn(1, 4, 4, 48).bfloat16(), torch.randn(1, 16, 16)
    with pytest.raises(ValueError, match='interpreter multiplies bfloat16 wrongly'):
        window_attention(qkv, bias, (4, 4), (0, 0), 1)


def test_windows_beyond_the_limit_are_refused():
    qkv, bias = torch.randn(1, 17, 17, 48).to(DEVICE), torch.randn(1, 289, 289).to(DEVICE)
    with pytest.raises(ValueError, match='a window has 289 tokens'):
        window_attention(qkv, bias, (17, 17), (0, 0), 1)
