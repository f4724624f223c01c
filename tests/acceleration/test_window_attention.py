"""The operator of window attention on a CPU: against mmpretrain's blocks, in fp64 by differences, and in graphs."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.models.utils import ShiftWindowMSA
from mmpretrain.models.utils.attention import WindowMSA, WindowMSAV2

from simmim_mm.acceleration.window_attention import refusal, swin_cases, window_attention
from simmim_mm.registry import MODELS

# name -> (map, window, shift, heads, width of a head)
GRIDS = {
    'shifted': ((8, 12), (4, 4), (2, 2), 2, 8),
    'not shifted': ((6, 9), (3, 3), (0, 0), 3, 4),
    'one window': ((5, 5), (5, 5), (0, 0), 1, 8),
    'oblong windows': ((4, 9), (2, 3), (1, 0), 2, 4),
}


def inputs(grid_hw, window, num_heads, width, cosine=False, num_images=2, dtype=torch.float64):
    num_tokens = window[0] * window[1]
    qkv = torch.randn(num_images, *grid_hw, 3 * num_heads * width, dtype=dtype, requires_grad=True)
    bias = torch.randn(num_heads, num_tokens, num_tokens, dtype=dtype, requires_grad=True)
    logit_scale = (1 + 9 * torch.rand(num_heads, dtype=dtype)).requires_grad_() if cosine else None
    return qkv, bias, logit_scale


@pytest.mark.parametrize('cosine', [False, True], ids=['products', 'cosines'])
@pytest.mark.parametrize('grid', GRIDS)
def test_gradients_are_those_of_differences(grid, cosine):
    grid_hw, window, shift, num_heads, width = GRIDS[grid]
    qkv, bias, logit_scale = inputs(grid_hw, window, num_heads, width, cosine, num_images=1)
    tensors = (qkv, bias, logit_scale) if cosine else (qkv, bias)

    def attend(qkv, bias, logit_scale=None):
        return window_attention(qkv, bias, window, shift, num_heads, logit_scale=logit_scale)

    # The fast mode compares random projections of the Jacobian; with all of it, this takes minutes.
    assert torch.autograd.gradcheck(attend, tensors, fast_mode=True)


@pytest.mark.parametrize('msa', [WindowMSA, WindowMSAV2])
@pytest.mark.parametrize('shift', [0, 2])
@pytest.mark.parametrize('grid_hw', [(8, 12), (4, 8)], ids=str)
def test_equals_mmpretrain(msa, shift, grid_hw):
    block = ShiftWindowMSA(32, num_heads=4, window_size=4, shift_size=shift, window_msa=msa).double()
    torch.nn.init.normal_(block.w_msa.qkv.weight)  # scores that matter
    if msa is WindowMSA:
        torch.nn.init.normal_(block.w_msa.relative_position_bias_table)
    tokens = torch.randn(2, grid_hw[0] * grid_hw[1], 32, dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(tokens)
    parameters = [tokens, *block.parameters()]
    expected = block(tokens, grid_hw)
    expected_grads = torch.autograd.grad((expected * weights).sum(), parameters)

    inner, index = block.w_msa, block.w_msa.relative_position_index
    # mmpretrain does not shift where the shorter side is one window.
    roll = (0, 0) if min(grid_hw) == 4 else (shift, shift)
    if msa is WindowMSA:
        qkv, table, logit_scale = inner.qkv(tokens), inner.relative_position_bias_table, None
    else:
        joined = torch.cat((inner.q_bias, torch.zeros_like(inner.v_bias), inner.v_bias))
        qkv = torch.nn.functional.linear(tokens, inner.qkv.weight, joined)
        table = 16 * torch.sigmoid(inner.cpb_mlp(inner.relative_coords_table).view(-1, 4))
        logit_scale = inner.logit_scale.clamp(max=torch.tensor(100.0).log().item()).exp().flatten()
    bias = table[index.flatten()].view(16, 16, 4).permute(2, 0, 1)
    attended = window_attention(qkv.unflatten(1, grid_hw), bias, (4, 4), roll, 4, logit_scale=logit_scale)
    result = inner.proj(attended.flatten(1, 2))
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-10)
    for got, wanted in zip(torch.autograd.grad((result * weights).sum(), parameters), expected_grads, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('cosine', [False, True], ids=['products', 'cosines'])
def test_operator_keeps_the_rules_of_operators(cosine):
    """Schemas, shapes without values, gradients and graphs of dynamic shapes, by PyTorch's own checks."""
    qkv, bias, logit_scale = inputs((4, 6), (2, 3), 2, 4, cosine, dtype=torch.float32)
    settings = ([2, 3], [1, 1], 2, 0.5)
    torch.library.opcheck(torch.ops.simmim_mm.window_attention.default, (qkv, bias, logit_scale, *settings))
    grad = torch.randn(2, 4, 6, 8)
    detached = [None if tensor is None else tensor.detach() for tensor in (qkv, bias, logit_scale)]
    torch.library.opcheck(torch.ops.simmim_mm.window_attention_backward.default, (grad, *detached, *settings))


def test_one_graph_with_its_gradients():
    qkv, bias, logit_scale = inputs((4, 6), (2, 3), 2, 4, cosine=True, dtype=torch.float32)

    def loss(qkv, bias, logit_scale):
        return window_attention(2 * qkv, bias, (2, 3), (1, 1), 2, logit_scale=logit_scale).square().mean()

    tensors = (qkv, bias, logit_scale)
    expected = torch.autograd.grad(loss(*tensors), tensors)
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    for got, wanted in zip(torch.autograd.grad(compiled(*tensors), tensors), expected, strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize('cosine', [False, True], ids=['products', 'cosines'])
def test_autocast_keeps_softmax_and_sums_in_fp32(cosine):
    """Inputs in bf16 give what fp64 gives for the same inputs, but for the rounding of the results."""
    qkv, bias, logit_scale = inputs((8, 8), (4, 4), 2, 8, cosine, num_images=16, dtype=torch.float32)
    weight, weights = torch.randn(48, 48) / 4, torch.randn(16, 8, 8, 16)
    with torch.autocast('cpu', torch.bfloat16):
        low = torch.nn.functional.linear(qkv, weight)
        low.retain_grad()
        result = window_attention(low, bias, (4, 4), (2, 2), 2, logit_scale=logit_scale)
    assert low.dtype == result.dtype == torch.bfloat16
    (result.double() * weights.bfloat16()).sum().backward()

    exact = [None if tensor is None else tensor.detach().double() for tensor in (low, bias, logit_scale)]
    for tensor in exact:
        if tensor is not None:
            tensor.requires_grad_()
    expected = window_attention(exact[0], exact[1], (4, 4), (2, 2), 2, logit_scale=exact[2])
    (expected * weights.bfloat16()).sum().backward()
    torch.testing.assert_close(result.double(), expected, rtol=2**-8, atol=1e-5)
    torch.testing.assert_close(low.grad.double(), exact[0].grad, rtol=2**-8, atol=1e-4)
    assert bias.grad.dtype == torch.float32
    torch.testing.assert_close(bias.grad.double(), exact[1].grad, rtol=1e-4, atol=1e-4)
    if cosine:
        torch.testing.assert_close(logit_scale.grad.double(), exact[2].grad, rtol=1e-4, atol=1e-4)


def test_strided_maps_are_read_where_they_lie():
    qkv, bias, _ = inputs((4, 4), (2, 2), 2, 4)
    wide = torch.cat((qkv, qkv), dim=2).detach()
    expected = window_attention(qkv, bias, (2, 2), (1, 1), 2)
    torch.testing.assert_close(window_attention(wide[:, :, 4:], bias, (2, 2), (1, 1), 2), expected)


def test_what_does_not_fit_is_refused():
    qkv, bias, logit_scale = inputs((4, 6), (2, 2), 2, 4, cosine=True)
    with pytest.raises(ValueError, match='must be \\(images, rows, columns'):
        window_attention(qkv[..., :-1], bias, (2, 2), (0, 0), 2)
    with pytest.raises(ValueError, match='6 columns does not tile by windows of 4; pad it before'):
        window_attention(qkv, bias, (2, 4), (0, 0), 2)
    with pytest.raises(ValueError, match='shift=2 of the rows must be from 0 to 1'):
        window_attention(qkv, bias, (2, 2), (2, 0), 2)
    with pytest.raises(ValueError, match='bias of shape'):
        window_attention(qkv, bias[:1], (2, 2), (0, 0), 2)
    with pytest.raises(ValueError, match='logit_scale of shape'):
        window_attention(qkv, bias, (2, 2), (0, 0), 2, logit_scale=logit_scale[:1])
    with pytest.raises(ValueError, match='no meaning beside logit_scale'):
        window_attention(qkv, bias, (2, 2), (0, 0), 2, scale=0.5, logit_scale=logit_scale)


@pytest.mark.parametrize(
    ('num_tokens', 'width', 'dtype', 'reason'),
    [
        (256, 128, torch.bfloat16, None),
        (289, 32, torch.bfloat16, '289 tokens'),
        (49, 160, torch.float16, '160 channels'),
        (49, 32, torch.float64, 'float64'),
    ],
)
def test_limits_of_the_kernels(num_tokens, width, dtype, reason):
    answer = refusal(num_tokens, width, dtype)
    assert answer is None if reason is None else reason in answer


def test_cases_of_benchmarks_are_the_blocks_of_swin():
    """Against the blocks that mmpretrain builds, and what PyTorch counts for its tensors."""
    swin = MODELS.build(dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=192, window_size=6))
    cases = swin_cases(depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24))
    assert sum(case.num_blocks for case in cases) == sum(len(stage.blocks) for stage in swin.stages)
    blocks = []

    def note(module, inputs, output):
        shift = 0 if min(inputs[1]) == module.window_size else module.shift_size
        blocks.append((tuple(inputs[1]), module.window_size, shift, module.w_msa.num_heads))

    for module in swin.modules():
        if isinstance(module, ShiftWindowMSA):
            module.register_forward_hook(note)
    with torch.no_grad():
        swin(torch.zeros(1, 3, 192, 192))
    expected = [(*case[1:5],) for case in cases for _ in range(case.num_blocks)]
    assert sorted(blocks) == sorted(expected)

    qkv, bias = cases[1].inputs(2, torch.bfloat16, 'cpu')
    result = window_attention(qkv, bias, *cases[1].arguments)
    assert cases[1].traffic(2, 2) == (qkv.nbytes + result.nbytes, 2 * qkv.nbytes + result.nbytes)


def test_cases_that_do_not_tile_are_refused():
    with pytest.raises(ValueError, match='windows of 7 do not tile the map of stride 4'):
        swin_cases(window=7)
