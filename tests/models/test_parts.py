"""Maskers, decoders, targets, losses and heads, one by one."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from simmim_mm.masking import Cells, gather_cells, hidden_cells
from simmim_mm.models import Decoder, MLPDecoder
from simmim_mm.models.derive import build_derived
from simmim_mm.models.outputs import first_tensor, last_map, token_grid
from simmim_mm.models.stems import find_stem
from simmim_mm.registry import MODELS


@pytest.mark.parametrize('upscale', [1, 2, 8])
@pytest.mark.parametrize('out_channels', [1, 3])
def test_linear_decoder_predicts_cells_as_in_the_map(upscale, out_channels):
    """Each selected cell is the square of the dense map at its place, in float64 to 1e-12."""
    decoder = MODELS.build(dict(type='LinearDecoder', in_channels=5, out_channels=out_channels, upscale=upscale))
    decoder.double()
    features = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    mask = torch.rand(2, 2, 3) < 0.5
    dense = decoder(features, mask)
    assert dense.shape == (2, out_channels, 2 * upscale, 3 * upscale)
    patches = decoder(features, mask, hidden_cells(mask, (2, 3)))
    where = mask.nonzero().tolist()
    assert len(patches) == len(where)
    for patch, (b, i, j) in zip(patches, where, strict=True):
        square = dense[b, :, i * upscale : (i + 1) * upscale, j * upscale : (j + 1) * upscale]
        torch.testing.assert_close(patch, square, rtol=1e-12, atol=1e-12)


def test_linear_decoder_is_one_linear_map_a_cell():
    """Pixel (y, x) of channel c is row c * s * s + y * s + x of the weight times the cell's feature, plus the bias."""
    decoder = MODELS.build(dict(type='LinearDecoder', in_channels=4, out_channels=2, upscale=3))
    features = torch.randn(1, 4, 2, 2)
    dense = decoder(features, torch.ones(1, 2, 2, dtype=torch.bool))
    weight, bias = decoder.state_dict()['decoder.0.weight'], decoder.state_dict()['decoder.0.bias']
    for c in range(2):
        for row in range(6):
            for column in range(6):
                k = c * 9 + (row % 3) * 3 + column % 3
                expected = weight[k, :, 0, 0] @ features[0, :, row // 3, column // 3] + bias[k]
                torch.testing.assert_close(dense[0, c, row, column], expected)


def test_a_decoder_without_decode_cells_cuts_them_out():
    """The base class serves decoders whose cells look at each other."""

    class Upsample(Decoder):
        def decode(self, features, hidden):
            return F.interpolate(features, scale_factor=self.upscale, mode='bilinear')

    features = torch.randn(1, 3, 2, 2)
    cells = Cells(torch.tensor([2]), (2, 2))
    decoder = Upsample(in_channels=3, out_channels=3, upscale=4)
    hidden = torch.ones(1, 2, 2, dtype=torch.bool)
    expected = F.interpolate(features, scale_factor=4, mode='bilinear')[:, :, 4:, :4]
    assert torch.equal(decoder(features, hidden, cells), expected)


def test_losses_are_per_value():
    """|x - y| and (x - y)^2, worked by hand, without any mean."""
    prediction, target = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([3.0, -2.0, 0.0])
    assert MODELS.build(dict(type='L1Loss'))(prediction, target).tolist() == [2.0, 0.0, 0.5]
    assert MODELS.build(dict(type='L2Loss'))(prediction, target).tolist() == [4.0, 0.0, 0.25]


def test_pixel_target_is_the_image():
    """As many channels as the image, one position a pixel, and back again."""
    target = MODELS.build(dict(type='PixelTarget', image_channels=4))
    images = torch.randn(2, 4, 3, 3)
    assert (target.channels, target.stride) == (4, 1)
    assert torch.equal(target(images), images)
    assert torch.equal(target.to_images(target(images), images), images)


def test_head_derives_the_decoders_channels():
    """Channels of the target times parameters of the loss."""
    assert MODELS.build(dict(type='ReconstructionHead', image_channels=4)).out_channels == 4

    class TwoNumbers(BaseModule):
        params_per_channel = 2

    head = MODELS.build(dict(type='ReconstructionHead', image_channels=4, loss=dict(type=TwoNumbers)))
    assert head.out_channels == 8


def test_an_empty_mask_costs_nothing():
    """0, not 0 / 0, with a gradient of 0."""
    head = MODELS.build(dict(type='ReconstructionHead', image_channels=3))
    prediction = torch.zeros(0, 3, 4, 4, requires_grad=True)
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    loss = head.loss(prediction, torch.randn(2, 3, 8, 8), mask, hidden_cells(mask, (2, 2)))['loss']
    loss.backward()
    assert loss.item() == 0.0
    assert prediction.grad.shape == (0, 3, 4, 4)


def test_the_token_is_drawn_as_published():
    """Truncated normal with std 0.02 (cut off at +-2, a hundred deviations); zero before init_weights."""
    masker = MODELS.build(dict(type='TokenMasker', embed_dims=20000))
    assert masker.mask_token.shape == (1, 1, 20000)
    assert masker.mask_token.abs().max() == 0
    masker.init_weights()
    assert abs(masker.mask_token.std().item() - 0.02) < 0.0005
    assert abs(masker.mask_token.mean().item()) < 0.0006


class MapStem(nn.Module):
    """A backbone whose stem hands out maps, as ConvNeXt's and ResNet's do."""

    def __init__(self, as_tuple=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 4, 4)
        self.body = nn.Conv2d(6, 8, 2, 2)
        self.as_tuple = as_tuple

    def forward(self, images):
        features = self.body(self.stem(images))
        return (features,) if self.as_tuple else features


@pytest.mark.parametrize('as_tuple', [False, True])
def test_stems_that_hand_out_maps_are_masked(as_tuple):
    """The token stands in every hidden cell of the map; brute force over cells."""
    masker = MODELS.build(dict(type='TokenMasker', embed_dims=6, stem='stem'))
    masker.init_weights()
    backbone = MapStem(as_tuple)
    images = torch.randn(2, 3, 16, 24)
    mask = torch.rand(2, 2, 3) < 0.5
    tokens = backbone.stem(images).detach().clone()
    for b in range(2):
        for i in range(4):
            for j in range(6):
                if mask[b, i // 2, j // 2]:
                    tokens[b, :, i, j] = masker.mask_token[0, 0]
    expected = backbone.body(tokens)
    masker.attach(backbone)
    features, hidden = masker.encode(backbone, images, mask)
    torch.testing.assert_close(features, expected)
    assert torch.equal(hidden, mask)


def test_token_has_the_type_of_the_tokens(tiny_model):
    """Under autocast the stem hands out bf16; the token follows, the gradient comes back in fp32."""
    with torch.autocast('cpu', torch.bfloat16):
        features, _ = tiny_model.masker.encode(
            tiny_model.backbone, torch.randn(1, 3, 64, 64), torch.ones(1, 2, 2, dtype=torch.bool)
        )
    features.float().square().sum().backward()
    assert tiny_model.masker.mask_token.grad.dtype == torch.float32
    assert tiny_model.masker.mask_token.grad.abs().max() > 0


def test_masks_finer_than_the_stem_are_refused(tiny_model):
    """A token is hidden whole or not at all; the message holds both grids and the smallest cell."""
    mask = torch.ones(1, 32, 32, dtype=torch.bool)
    with pytest.raises(ValueError, match='32x32 cells is finer than the 16x16 tokens.*mask_patch_size of at least 4'):
        tiny_model.loss(torch.randn(1, 3, 64, 64), mask)


@pytest.mark.parametrize(
    ('num_tokens', 'image_hw', 'grid_hw'),
    [
        (256, (64, 64), (16, 16)),
        (6, (64, 96), (2, 3)),
        (6, (96, 64), (3, 2)),
        (24, (64, 96), (4, 6)),
        (1, (7, 7), (1, 1)),
    ],
)
def test_token_grid_follows_from_the_image(num_tokens, image_hw, grid_hw):
    """N square cells tile the image in one way."""
    assert token_grid(torch.zeros(1, num_tokens, 5), image_hw) == grid_hw
    assert token_grid(torch.zeros(1, 5, *grid_hw), image_hw) == grid_hw


@pytest.mark.parametrize(('num_tokens', 'image_hw'), [(257, (64, 64)), (5, (64, 96)), (2, (64, 64))])
def test_tokens_that_do_not_tile_are_refused(num_tokens, image_hw):
    """A class token in the stem's output, say."""
    with pytest.raises(ValueError, match=f'{num_tokens} tokens for an image of {image_hw[0]}x{image_hw[1]}'):
        token_grid(torch.zeros(1, num_tokens, 5), image_hw)


def test_outputs_are_read_in_every_form():
    """A tensor, a tuple, a list; the last one counts for backbones, the first one for stems."""
    first, last = torch.zeros(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    for outputs in ((first, last), [first, last], last):
        assert last_map(outputs, nn.Identity()) is last
    for output in ((first, (3, 3)), [first], first):
        assert first_tensor(output) is first
    with pytest.raises(ValueError, match=r"last output of Identity is \(1, 8\), not a feature map.*out_type='featmap'"):
        last_map((torch.zeros(1, 8),), nn.Identity())


def test_subclasses_are_found_in_the_table_of_stems(tiny_swin):
    """A user's subclass of a known encoder needs no row; `stem=` overrides the table."""
    backbone = MODELS.build(tiny_swin())

    class Mine(type(backbone)):
        pass

    mine = Mine(**{name: value for name, value in tiny_swin().items() if name != 'type'})
    assert find_stem(mine) is mine.patch_embed
    assert find_stem(mine, 'stages.0') is mine.stages[0]


def test_derived_arguments_may_be_repeated_but_not_contradicted():
    """The message holds the place, both values and what to delete."""
    cfg = dict(type='LinearDecoder', out_channels=3, in_channels=5)
    assert build_derived(cfg, 'neck', out_channels=3, upscale=2).upscale == 2
    assert cfg == dict(type='LinearDecoder', out_channels=3, in_channels=5)
    with pytest.raises(ValueError, match=r'model.neck.out_channels=3 contradicts .* 4 follows; delete out_channels'):
        build_derived(cfg, 'neck', out_channels=4, upscale=2)


@pytest.mark.parametrize('hidden_channels', [None, 7])
def test_mlp_decoder_equals_a_loop_over_cells(hidden_channels):
    """Selected cells equal the map's; the map equals two layers worked out cell by cell."""
    decoder = MLPDecoder(in_channels=5, out_channels=2, upscale=3, hidden_channels=hidden_channels).double()
    features = torch.randn(2, 5, 2, 4, dtype=torch.float64)
    hidden = torch.rand(2, 2, 4) < 0.5
    whole = decoder(features, hidden)
    first, _, second, _ = decoder.decoder
    for image in range(2):
        for row in range(2):
            for column in range(4):
                inner = first.weight[:, :, 0, 0] @ features[image, :, row, column] + first.bias
                # GELU: x times the normal distribution function of x.
                inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
                cell = (second.weight[:, :, 0, 0] @ inner + second.bias).view(2, 3, 3)
                shown = whole[image, :, row * 3 : row * 3 + 3, column * 3 : column * 3 + 3]
                torch.testing.assert_close(shown, cell)
    cells = hidden_cells(hidden, (2, 4))
    torch.testing.assert_close(decoder(features, hidden, cells), gather_cells(whole, cells))


@pytest.mark.parametrize('hidden_channels', [0, -3, 2.5, '8', True])
def test_mlp_decoder_refuses_impossible_widths(hidden_channels):
    with pytest.raises(ValueError, match='hidden_channels=.* of MLPDecoder must be a whole number'):
        MLPDecoder(in_channels=5, out_channels=2, upscale=3, hidden_channels=hidden_channels)
