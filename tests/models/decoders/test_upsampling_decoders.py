"""Decoders that double the resolution step by step: transposed convolutions and the inverse Swin."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import SwinTransformer
from torch import nn

from simmim_mm.models.decoders.deconv import prime_factors
from simmim_mm.registry import MODELS


@pytest.mark.parametrize('upscale', [1, 2, 3, 5, 6, 7, 12, 14, 32])
def test_deconv_grows_by_its_prime_factors(upscale, build):
    """As many stages as widths or prime factors, whichever is less; together they and the rest make `upscale`."""
    factors = prime_factors(upscale)
    assert all(factor > 1 and all(factor % k for k in range(2, factor)) for factor in factors)
    assert torch.tensor(factors).prod() == upscale
    decoder = build('DeconvDecoder', upscale, widths=(8, 6))
    strides = [stage[0].stride[0] for stage in decoder.stages]
    assert strides == factors[:2]
    sides, maps = [3], torch.randn(1, 5, 3, 4, dtype=torch.float64)
    for stage, stride in zip(decoder.stages, strides, strict=True):
        maps = stage(maps)
        assert maps.shape[2:] == (sides[-1] * stride, sides[-1] * stride * 4 // 3)
        sides.append(maps.shape[2])
    assert sides[-1] * decoder.rest == 3 * upscale


def test_deconv_takes_other_norms(build):
    """Those of the host, by their names; BatchNorm is changed in no way by being tried when built."""
    decoder = build('DeconvDecoder', norm_cfg=dict(type='BN'))
    assert [type(stage[1]) for stage in decoder.stages] == [nn.BatchNorm2d] * 2
    assert decoder.stages[0][1].training
    assert decoder.stages[0][1].num_batches_tracked == 0
    grouped = build('DeconvDecoder', norm_cfg=dict(type='GN', num_groups=2))
    assert [stage[1].num_groups for stage in grouped.stages] == [2, 2]


def test_deconv_stage_equals_a_sum_over_cells(build):
    """A stage of factor 2: each cell adds its 4x4 kernel around its 2x2 square; brute force."""
    convolution = build('DeconvDecoder', 2, in_channels=3, widths=(2,)).stages[0][0]
    maps = torch.randn(1, 3, 2, 3, dtype=torch.float64)
    expected = torch.zeros(2, 4 + 2, 6 + 2, dtype=torch.float64)
    for i in range(2):
        for j in range(3):
            stamp = torch.einsum('c,cdyx->dyx', maps[0, :, i, j], convolution.weight)
            expected[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += stamp
    torch.testing.assert_close(convolution(maps)[0], expected[:, 1:-1, 1:-1])


@pytest.mark.parametrize(
    ('upscale', 'widths', 'rest'),
    [
        (1, [32], 1),
        (2, [32], 2),
        (3, [32], 3),
        (4, [32], 4),
        (6, [32], 6),
        (8, [32, 16], 4),
        (12, [32, 16], 6),
        (16, [32, 16, 8], 4),
        (32, [32, 16, 8], 8),
    ],
)
def test_swin_stages_follow_from_upscale(upscale, widths, rest, build):
    """The resolution doubles while 4 or more are left and the architecture has stages."""
    decoder = build('SwinDecoder', upscale)
    assert [stage.embed_dims for stage in decoder.stages] == widths
    assert len(decoder.expansions) == len(widths) - 1
    assert decoder.rest == rest
    assert decoder.rest * 2 ** len(decoder.expansions) == upscale


@pytest.mark.parametrize('arch', ['tiny', 'base'])
def test_swin_mirrors_the_hosts_architecture(arch, build):
    """Each stage has as many blocks, heads and parameters as the encoder's at its place, seen from the other end."""
    host = SwinTransformer(arch=arch, window_size=6)
    decoder = MODELS.build(dict(type='SwinDecoder', arch=arch, in_channels=1024, out_channels=3, upscale=32))
    assert decoder.rest == 4
    for mine, theirs in zip(decoder.stages, reversed(host.stages), strict=True):
        shapes = {key: value.shape for key, value in mine.blocks.state_dict().items()}
        assert shapes == {key: value.shape for key, value in theirs.blocks.state_dict().items()}
        assert mine.blocks[0].attn.w_msa.num_heads == theirs.blocks[0].attn.w_msa.num_heads


def test_swin_may_leave_out_its_widest_stages(build):
    """For a ViT: the widths that Swin has at strides of 16, 8 and 4."""
    decoder = MODELS.build(
        dict(type='SwinDecoder', arch='tiny', first_stage=1, in_channels=768, out_channels=3, upscale=16)
    )
    assert [stage.embed_dims for stage in decoder.stages] == [384, 192, 96]
    assert [len(stage.blocks) for stage in decoder.stages] == [6, 2, 2]


def test_swin_expansion_puts_the_quarters_where_they_belong(build):
    """Token (i, j) becomes the four at (2 i + y, 2 j + x); its y-x quarter of the linear layer goes there."""
    expansion = build('SwinDecoder', 8).expansions[0]
    tokens = torch.randn(1, 2, 3, 32, dtype=torch.float64)
    out = expansion(tokens)
    assert out.shape == (1, 4, 6, 16)
    for row in range(4):
        for column in range(6):
            start = 32 * (row % 2) + 16 * (column % 2)
            quarter = expansion.expansion.weight[start : start + 16] @ tokens[0, row // 2, column // 2]
            torch.testing.assert_close(out[0, row, column], F.layer_norm(quarter, (16,)))
