"""Decoders whose cells look at each other."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import SwinTransformer
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import nn

from simmim_mm.masking import Cells, hidden_cells
from simmim_mm.models.decoders.deconv import prime_factors
from simmim_mm.models.decoders.positions import sincos_positions
from simmim_mm.registry import MODELS

ARCH = dict(embed_dims=8, depths=[1, 2, 2], num_heads=[1, 2, 2])
TINY = {
    'CrossAttentionDecoder': dict(embed_dims=16, depth=2, num_heads=2, mlp_ratio=2.0),
    'DeconvDecoder': dict(widths=(8, 6)),
    'SwinDecoder': dict(arch=ARCH, window_size=3),
    'TransformerDecoder': dict(embed_dims=16, depth=2, num_heads=2, mlp_ratio=2.0),
}
NECKS = {name: dict(type=name, **kwargs) for name, kwargs in TINY.items()}
TRANSFORMERS = ['CrossAttentionDecoder', 'TransformerDecoder']


def build(name, upscale=4, in_channels=5, out_channels=2, **kwargs):
    """A tiny decoder in float64, with drawn weights."""
    sizes = dict(in_channels=in_channels, out_channels=out_channels, upscale=upscale)
    decoder = MODELS.build(dict(type=name, **sizes, **{**TINY[name], **kwargs}))
    decoder.init_weights()
    return decoder.double()


def some_input(grid_hw=(3, 5), num_images=2):
    """Features, and a mask that hides about half of their cells."""
    features = torch.randn(num_images, 5, *grid_hw, dtype=torch.float64, requires_grad=True)
    return features, torch.rand(num_images, *grid_hw) < 0.5


@pytest.mark.parametrize('name', sorted(TINY))
@pytest.mark.parametrize(('upscale', 'out_channels'), [(1, 1), (2, 3), (3, 1), (4, 2), (16, 1), (32, 3)])
class TestEveryDecoder:
    """What holds for all of them, on a map with odd and unequal sides."""

    def test_cells_are_those_of_the_map(self, name, upscale, out_channels):
        """Selected cells equal the squares of the whole map, cut out one by one, to 1e-12."""
        decoder = build(name, upscale, out_channels=out_channels)
        features, mask = some_input()
        whole = decoder(features, mask)
        assert whole.shape == (2, out_channels, 3 * upscale, 5 * upscale)
        patches = decoder(features, mask, hidden_cells(mask, (3, 5)))
        where = mask.nonzero().tolist()
        assert patches.shape == (len(where), out_channels, upscale, upscale)
        for patch, (b, i, j) in zip(patches, where, strict=True):
            square = whole[b, :, i * upscale : (i + 1) * upscale, j * upscale : (j + 1) * upscale]
            torch.testing.assert_close(patch, square, rtol=1e-12, atol=1e-12)

    def test_every_parameter_is_used(self, name, upscale, out_channels):
        """All get a gradient other than 0, as DistributedDataParallel wants it, and so do the features."""
        decoder = build(name, upscale, out_channels=out_channels)
        features, mask = some_input()
        patches = decoder(features, mask, hidden_cells(mask, (3, 5)))
        (patches * torch.randn_like(patches)).sum().backward()
        unused = [key for key, value in decoder.named_parameters() if value.grad is None or not value.grad.any()]
        assert unused == []
        assert torch.isfinite(features.grad).all()
        assert features.grad.any()


@pytest.mark.parametrize('name', sorted(TINY))
@pytest.mark.parametrize('selected', [False, True])
def test_decoding_is_one_graph(name, selected):
    """No graph breaks under torch.compile (`fullgraph` raises at one), and the graph's output is the eager one."""
    torch._dynamo.reset()
    decoder = build(name, 8)
    features, mask = some_input()
    cells = hidden_cells(mask, (3, 5)) if selected else None
    compiled = torch.compile(decoder, fullgraph=True, backend='eager')(features, mask, cells)
    torch.testing.assert_close(compiled, decoder(features, mask, cells))
    torch._dynamo.reset()


@pytest.mark.parametrize('name', sorted(TINY))
def test_images_are_decoded_alone(name):
    """Also while training: what is predicted for an image does not depend on the others of the batch."""
    decoder = build(name).train()
    features, mask = some_input()
    whole = decoder(features, mask)
    for b in range(2):
        torch.testing.assert_close(decoder(features[b : b + 1], mask[b : b + 1]), whole[b : b + 1])


@pytest.mark.parametrize('name', sorted(TINY))
def test_no_cells_have_gradients_of_zero(name):
    """Where nothing is hidden, nothing is predicted; a backward pass still reaches every parameter."""
    decoder = build(name)
    features, _ = some_input()
    mask = torch.zeros(2, 3, 5, dtype=torch.bool)
    patches = decoder(features, mask, hidden_cells(mask, (3, 5)))
    assert patches.shape == (0, 2, 4, 4)
    patches.sum().backward()
    assert all(value.grad is not None and not value.grad.any() for value in decoder.parameters())


@pytest.mark.parametrize('name', sorted(TINY))
def test_cells_look_at_each_other(name):
    """The prediction of one corner depends on a neighbour's features."""
    decoder = build(name)
    features, _ = some_input()
    decoder(features, torch.zeros(2, 3, 5, dtype=torch.bool))[0, :, :4, :4].square().sum().backward()
    assert features.grad[0, :, 0, 1].any()
    assert not features.grad[1].any()


@pytest.mark.parametrize('name', sorted(TINY))
def test_the_initialisation_is_drawn(name):
    """Linear layers have zero biases, weights of deviation 0.02 (MLPs of mmpretrain's ViT blocks are Xavier's)."""
    decoder = build(name, 16, **({'widths': (64, 64)} if name == 'DeconvDecoder' else {}))
    seen = 0
    for key, module in decoder.named_modules():
        if not isinstance(module, nn.Linear | nn.ConvTranspose2d) or ('.ffn.' in key and name == 'TransformerDecoder'):
            continue
        assert module.bias is None or not module.bias.any(), key
        assert 0.015 < module.weight.std() < 0.025, key
        seen += 1
    assert seen > 1
    for key in ('query', 'empty_key') if name == 'CrossAttentionDecoder' else ():
        assert 0.01 < getattr(decoder, key).std() < 0.03
    mine = build(name, init_cfg=dict(type='Constant', layer='Linear', val=0.5))
    assert (mine.projection.weight == 0.5).all()


def test_learned_tokens_and_tables_are_exempt_from_weight_decay(build_model):
    """By the recipe of the configs: 1-d parameters, and Swin's tables by their name."""
    from mmengine.config import Config
    from mmengine.optim import build_optim_wrapper

    cfg = Config.fromfile(Path(__file__).parents[2] / 'configs' / 'simmim_swin_base.py')
    cfg.optim_wrapper.precision = 'fp32'
    decayed = {}
    for name in ('CrossAttentionDecoder', 'SwinDecoder'):
        model = build_model(neck=NECKS[name])
        groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
        decay = {id(value): group['weight_decay'] for group in groups for value in group['params']}
        decayed.update({key: decay[id(value)] > 0 for key, value in model.neck.named_parameters()})
    exempt = {key.rpartition('.')[2] for key, value in decayed.items() if not value}
    assert exempt == {'bias', 'weight', 'query', 'empty_key', 'relative_position_bias_table'}
    assert {key for key, value in decayed.items() if value} == {
        key for key in decayed if key.endswith('weight') and 'norm' not in key
    }


@pytest.mark.parametrize('name', sorted(TINY))
def test_mixed_precision_gives_finite_numbers(name):
    """Forward and backward under bf16 autocast, near the fp32 output."""
    decoder = build(name).float()
    features, mask = some_input()
    features = features.detach().float()
    with torch.autocast('cpu', torch.bfloat16):
        prediction = decoder(features, mask)
    prediction.float().square().sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in decoder.parameters())
    expected = decoder(features, mask)
    assert (prediction.float() - expected).abs().max() < 0.05 * expected.abs().max()


# Transposed convolutions.


@pytest.mark.parametrize('upscale', [1, 2, 3, 5, 6, 7, 12, 14, 32])
def test_deconv_grows_by_its_prime_factors(upscale):
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


def test_deconv_takes_other_norms():
    """Those of the host, by their names; BatchNorm is changed in no way by being tried when built."""
    decoder = build('DeconvDecoder', norm_cfg=dict(type='BN'))
    assert [type(stage[1]) for stage in decoder.stages] == [nn.BatchNorm2d] * 2
    assert decoder.stages[0][1].training
    assert decoder.stages[0][1].num_batches_tracked == 0
    grouped = build('DeconvDecoder', norm_cfg=dict(type='GN', num_groups=2))
    assert [stage[1].num_groups for stage in grouped.stages] == [2, 2]


def test_deconv_stage_equals_a_sum_over_cells():
    """A stage of factor 2: each cell adds its 4x4 kernel around its 2x2 square; brute force."""
    convolution = build('DeconvDecoder', 2, in_channels=3, widths=(2,)).stages[0][0]
    maps = torch.randn(1, 3, 2, 3, dtype=torch.float64)
    expected = torch.zeros(2, 4 + 2, 6 + 2, dtype=torch.float64)
    for i in range(2):
        for j in range(3):
            stamp = torch.einsum('c,cdyx->dyx', maps[0, :, i, j], convolution.weight)
            expected[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += stamp
    torch.testing.assert_close(convolution(maps)[0], expected[:, 1:-1, 1:-1])


# Inverse Swin.


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
def test_swin_stages_follow_from_upscale(upscale, widths, rest):
    """The resolution doubles while 4 or more are left and the architecture has stages."""
    decoder = build('SwinDecoder', upscale)
    assert [stage.embed_dims for stage in decoder.stages] == widths
    assert len(decoder.expansions) == len(widths) - 1
    assert decoder.rest == rest
    assert decoder.rest * 2 ** len(decoder.expansions) == upscale


@pytest.mark.parametrize('arch', ['tiny', 'base'])
def test_swin_mirrors_the_hosts_architecture(arch):
    """Each stage has as many blocks, heads and parameters as the encoder's at its place, seen from the other end."""
    host = SwinTransformer(arch=arch, window_size=6)
    decoder = MODELS.build(dict(type='SwinDecoder', arch=arch, in_channels=1024, out_channels=3, upscale=32))
    assert decoder.rest == 4
    for mine, theirs in zip(decoder.stages, reversed(host.stages), strict=True):
        shapes = {key: value.shape for key, value in mine.blocks.state_dict().items()}
        assert shapes == {key: value.shape for key, value in theirs.blocks.state_dict().items()}
        assert mine.blocks[0].attn.w_msa.num_heads == theirs.blocks[0].attn.w_msa.num_heads


def test_swin_may_leave_out_its_widest_stages():
    """For a ViT: the widths that Swin has at strides of 16, 8 and 4."""
    decoder = MODELS.build(
        dict(type='SwinDecoder', arch='tiny', first_stage=1, in_channels=768, out_channels=3, upscale=16)
    )
    assert [stage.embed_dims for stage in decoder.stages] == [384, 192, 96]
    assert [len(stage.blocks) for stage in decoder.stages] == [6, 2, 2]


def test_swin_expansion_puts_the_quarters_where_they_belong():
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


# Transformers.


@pytest.mark.parametrize('grid_hw', [(1, 1), (3, 3), (4, 7)])
def test_positions_equal_the_hosts_up_to_the_order_of_sides(grid_hw):
    """mmpretrain's sine and cosine terms, whose grid runs column by column."""
    mine = sincos_positions(grid_hw, torch.zeros(16))
    host = build_2d_sincos_position_embedding(grid_hw, 16)[0]
    by_rows = host.view(grid_hw[1], grid_hw[0], 16).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(mine, by_rows)
    assert len(mine.unique(dim=0)) == len(mine)


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_equal_features_are_told_apart_by_their_place(name):
    """With the same feature in all cells, predictions differ between any two; without positions they would not."""
    decoder = build(name)
    features = torch.ones(1, 5, 3, 4, dtype=torch.float64)
    patches = decoder(features, torch.zeros(1, 3, 4, dtype=torch.bool), Cells(torch.arange(12), (3, 4))).flatten(1)
    assert (torch.cdist(patches, patches) + torch.eye(12) > 1e-6).all()


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_nothing_of_the_grid_is_stored(name):
    """One decoder serves all grids, and its keys are those of its layers."""
    decoder = build(name)
    assert set(decoder.state_dict()) == {key for key, _ in decoder.named_parameters()}
    for grid_hw in ((2, 2), (5, 1), (2, 2)):
        assert decoder(*some_input(grid_hw)).shape == (2, 2, 4 * grid_hw[0], 4 * grid_hw[1])


# Cross-attention.

PARTLY = torch.zeros(1, 6, 10, dtype=torch.bool)
PARTLY[:, ::2, 1::2] = True  # a quarter of each cell of a 3x5 map
PARTLY[:, :2, :4] = True  # and two cells as a whole
MASKS = {
    'of cells': torch.tensor([[[1, 0, 1, 0, 1], [0, 1, 0, 1, 0], [1, 1, 1, 1, 0]]], dtype=torch.bool),
    'finer than cells': PARTLY,
    'coarser than cells': torch.tensor([[[1, 0, 0, 1, 1]]], dtype=torch.bool),
    'of everything': torch.ones(1, 3, 5, dtype=torch.bool),
    'of nothing': torch.zeros(1, 3, 5, dtype=torch.bool),
}


def hidden_as_a_whole(mask):
    """Brute force: cell (i, j) of a 3x5 map is hidden if all of the mask's entries in it are."""
    h, w = mask.shape[1:]
    return torch.tensor(
        [
            [
                all(
                    mask[0, y * h // 60, x * w // 60].item()
                    for y in range(20 * i, 20 * i + 20)
                    for x in range(12 * j, 12 * j + 12)
                )
                for j in range(5)
            ]
            for i in range(3)
        ]
    )


@pytest.mark.parametrize('mask', MASKS.values(), ids=MASKS)
def test_hidden_features_do_not_reach_the_prediction(mask):
    """Gradient exactly 0 for cells that are hidden as a whole, and not 0 for any other; finite with nothing to see."""
    decoder = build('CrossAttentionDecoder')
    features, _ = some_input(num_images=1)
    prediction = decoder(features, mask)
    assert torch.isfinite(prediction).all()
    for cell in prediction.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).unbind(2):
        (gradient,) = torch.autograd.grad(cell.square().sum(), features, retain_graph=True)
        assert torch.equal(gradient[0].abs().amax(0) == 0, hidden_as_a_whole(mask))


def test_cross_attention_block_equals_a_loop():
    """One head after the other, with a softmax over the visible keys alone, worked by hand."""
    block = build('CrossAttentionDecoder').blocks[0]
    queries, keys = (torch.randn(1, n, 16, dtype=torch.float64) for n in (3, 4))
    seen = torch.tensor([[True, False, True, True]])
    query = block.to_query(F.layer_norm(queries, (16,)))[0]
    key, value = block.to_key_and_value(keys[seen]).split(16, dim=-1)
    heads = []
    for part in (slice(0, 8), slice(8, 16)):
        weights = torch.exp(query[:, part] @ key[:, part].T / 8**0.5)
        heads.append(weights / weights.sum(1, keepdim=True) @ value[:, part])
    expected = queries[0] + block.attended(torch.cat(heads, dim=1))
    inner = F.layer_norm(expected, (16,)) @ block.mlp[0].weight.T + block.mlp[0].bias
    expected = expected + block.mlp[2](inner * 0.5 * (1 + torch.erf(inner / 2**0.5)))
    torch.testing.assert_close(block(queries, keys, seen)[0], expected)


def test_with_everything_hidden_images_do_not_differ():
    """There is nothing but the learned tokens to attend to, and every parameter but the embedding's learns."""
    decoder = build('CrossAttentionDecoder')
    features, _ = some_input()
    prediction = decoder(features, torch.ones(2, 3, 5, dtype=torch.bool))
    torch.testing.assert_close(prediction[0], prediction[1], rtol=1e-12, atol=1e-12)
    (prediction * torch.randn_like(prediction)).sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in decoder.parameters())


# In a model.


@pytest.mark.parametrize('name', sorted(TINY))
@pytest.mark.parametrize('side', [2, 4, 16], ids=['coarser', 'as the cells', 'finer'])
def test_a_model_learns_with_it(name, side, build_model):
    """Loss and backward with masks of any resolution: every parameter learns, and the loss falls."""
    model = build_model(neck=NECKS[name], img_size=(128, 64))
    images = torch.randn(2, 3, 128, 64)
    mask = torch.rand(2, side, side // 2) < 0.5
    mask[:, 0, 0] = True
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        loss = model.loss(images, mask)['loss']
        optimiser.zero_grad()
        loss.backward()
        assert all(value.grad is not None and torch.isfinite(value.grad).all() for value in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.reconstruct(images, mask).images.shape == images.shape


@pytest.mark.parametrize('name', sorted(TINY))
@pytest.mark.parametrize('encoder_name', ['VisionTransformer', 'ResNet'])
def test_other_encoders_and_coarser_targets(name, encoder_name, build_model, tiny_encoders):
    """Strides of 16 and 32, with means of 8x8 px to predict: the loss of all pixels is that of the whole map."""
    head = dict(type='ReconstructionHead', target=dict(type='PixelTarget', stride=8), area='all')
    model = build_model(backbone=tiny_encoders[encoder_name], neck=NECKS[name], head=head).eval()
    images = torch.randn(2, 3, 64, 64)
    mask = torch.rand(2, 2, 2) < 0.5
    features, hidden = model.masker.encode(model.backbone, images, mask)
    expected = (model.neck(features, hidden) - F.avg_pool2d(images, 8)).abs().mean()
    torch.testing.assert_close(model.loss(images, mask)['loss'], expected, rtol=1e-4, atol=0)


# Wrong arguments.

SIZES = dict(in_channels=4, out_channels=3, upscale=2)
WRONG_NUMBERS = [0, -1, 2.5, float('nan'), '8', True, None, [1]]


@pytest.mark.parametrize('name', ['LinearDecoder', 'MLPDecoder', *sorted(TINY)])
@pytest.mark.parametrize('argument', sorted(SIZES))
@pytest.mark.parametrize('value', WRONG_NUMBERS, ids=repr)
def test_wrong_sizes_are_refused(name, argument, value):
    """The message names the argument, what was given and the class."""
    with pytest.raises(ValueError, match=rf'^{argument}=.* of {name} must be a whole number from 1'):
        MODELS.get(name)(**{**SIZES, argument: value})


@pytest.mark.parametrize(
    ('name', 'argument'),
    [
        *((name, argument) for name in TRANSFORMERS for argument in ('embed_dims', 'depth', 'num_heads')),
        ('SwinDecoder', 'window_size'),
    ],
)
@pytest.mark.parametrize('value', WRONG_NUMBERS, ids=repr)
def test_wrong_numbers_are_refused(name, argument, value):
    with pytest.raises(ValueError, match=rf'^{argument}=.* of {name} must be a whole number from [12]'):
        MODELS.get(name)(**SIZES, **{argument: value})


@pytest.mark.parametrize(
    ('name', 'kwargs', 'message'),
    [
        ('TransformerDecoder', dict(embed_dims=30), 'embed_dims=30 of TransformerDecoder must be a multiple of 4'),
        ('TransformerDecoder', dict(num_heads=7), 'num_heads=7 of TransformerDecoder does not divide its width, 512'),
        ('CrossAttentionDecoder', dict(mlp_ratio=0), 'mlp_ratio=0 of CrossAttentionDecoder must be a number above 0'),
        ('CrossAttentionDecoder', dict(mlp_ratio='4'), "mlp_ratio='4' of CrossAttentionDecoder must be a number"),
        ('TransformerDecoder', dict(mlp_ratio=float('nan')), 'mlp_ratio=nan of TransformerDecoder must be a number'),
        ('TransformerDecoder', dict(mlp_ratio=float('inf')), 'mlp_ratio=inf of TransformerDecoder must be a number'),
        ('DeconvDecoder', dict(widths=64), 'widths=64 of DeconvDecoder must be a list of whole numbers'),
        ('DeconvDecoder', dict(widths=(64, 0)), r'widths\[1\]=0 of DeconvDecoder must be a whole number'),
        ('DeconvDecoder', dict(widths='64'), "widths='64' of DeconvDecoder must be a list"),
        ('DeconvDecoder', dict(norm_cfg='BN'), "norm_cfg='BN' of DeconvDecoder makes no norm .* use dict"),
        ('DeconvDecoder', dict(norm_cfg=dict(type='XN')), 'makes no norm for maps of 256 channels'),
        ('DeconvDecoder', dict(norm_cfg=dict(type='LN')), 'makes no norm for maps of 256 channels'),
        ('DeconvDecoder', dict(norm_cfg=dict(type='GN', num_groups=7)), 'makes no norm for maps of 256 channels'),
        ('SwinDecoder', dict(arch='giant'), "arch='giant' of SwinDecoder is unknown; use 'tiny', 'small', 'base'"),
        ('SwinDecoder', dict(arch=['tiny']), 'arch=.*tiny.* of SwinDecoder is unknown'),
        ('SwinDecoder', dict(arch=dict(embed_dims=8)), 'or a dict with embed_dims, depths and num_heads'),
        ('SwinDecoder', dict(arch={**ARCH, 'depths': [2, 2]}), 'one depth and one number of heads for each stage'),
        ('SwinDecoder', dict(arch={**ARCH, 'depths': [], 'num_heads': []}), 'one depth and one number of heads'),
        ('SwinDecoder', dict(arch={**ARCH, 'depths': [2, 0, 2]}), r"arch\['depths'\]\[1\]=0 of SwinDecoder must be"),
        (
            'SwinDecoder',
            dict(arch={**ARCH, 'num_heads': [1, 3, 2]}),
            'num_heads=3 of SwinDecoder does not divide .* 16',
        ),
        ('SwinDecoder', dict(arch={**ARCH, 'embed_dims': 8.0}), r"arch\['embed_dims'\]=8.0 of SwinDecoder must be"),
        ('SwinDecoder', dict(first_stage=4), 'first_stage=4 of SwinDecoder leaves none of its 4 stages'),
        ('SwinDecoder', dict(first_stage=-1), 'first_stage=-1 of SwinDecoder must be a whole number from 0'),
    ],
)
def test_wrong_arguments_are_refused(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.get(name)(**SIZES, **kwargs)
