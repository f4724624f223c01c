"""What holds for every decoder whose cells look at each other."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from simmim_mm.masking import hidden_cells


@pytest.mark.parametrize(('upscale', 'out_channels'), [(1, 1), (2, 3), (3, 1), (4, 2), (16, 1), (32, 3)])
class TestEveryDecoder:
    """What holds for all of them, on a map with odd and unequal sides."""

    def test_cells_are_those_of_the_map(self, name, upscale, out_channels, build, some_input):
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

    def test_every_parameter_is_used(self, name, upscale, out_channels, build, some_input):
        """All get a gradient other than 0, as DistributedDataParallel wants it, and so do the features."""
        decoder = build(name, upscale, out_channels=out_channels)
        features, mask = some_input()
        patches = decoder(features, mask, hidden_cells(mask, (3, 5)))
        (patches * torch.randn_like(patches)).sum().backward()
        unused = [key for key, value in decoder.named_parameters() if value.grad is None or not value.grad.any()]
        assert unused == []
        assert torch.isfinite(features.grad).all()
        assert features.grad.any()


@pytest.mark.parametrize('selected', [False, True])
def test_decoding_is_one_graph(name, selected, build, some_input):
    """No graph breaks under torch.compile (`fullgraph` raises at one), and the graph's output is the eager one."""
    torch._dynamo.reset()
    decoder = build(name, 8)
    features, mask = some_input()
    cells = hidden_cells(mask, (3, 5)) if selected else None
    compiled = torch.compile(decoder, fullgraph=True, backend='eager')(features, mask, cells)
    torch.testing.assert_close(compiled, decoder(features, mask, cells))
    torch._dynamo.reset()


def test_images_are_decoded_alone(name, build, some_input):
    """Also while training: what is predicted for an image does not depend on the others of the batch."""
    decoder = build(name).train()
    features, mask = some_input()
    whole = decoder(features, mask)
    for b in range(2):
        torch.testing.assert_close(decoder(features[b : b + 1], mask[b : b + 1]), whole[b : b + 1])


def test_no_cells_have_gradients_of_zero(name, build, some_input):
    """Where nothing is hidden, nothing is predicted; a backward pass still reaches every parameter."""
    decoder = build(name)
    features, _ = some_input()
    mask = torch.zeros(2, 3, 5, dtype=torch.bool)
    patches = decoder(features, mask, hidden_cells(mask, (3, 5)))
    assert patches.shape == (0, 2, 4, 4)
    patches.sum().backward()
    assert all(value.grad is not None and not value.grad.any() for value in decoder.parameters())


def test_cells_look_at_each_other(name, build, some_input):
    """The prediction of one corner depends on a neighbour's features."""
    decoder = build(name)
    features, _ = some_input()
    decoder(features, torch.zeros(2, 3, 5, dtype=torch.bool))[0, :, :4, :4].square().sum().backward()
    assert features.grad[0, :, 0, 1].any()
    assert not features.grad[1].any()


def test_the_initialisation_is_drawn(name, build):
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


def test_learned_tokens_and_tables_are_exempt_from_weight_decay(build_model, necks):
    """By the recipe of the configs: 1-d parameters, and Swin's tables by their name."""
    cfg = Config.fromfile(Path(__file__).parents[3] / 'configs' / 'simmim_swin_base.py')
    cfg.optim_wrapper.precision = 'fp32'
    decayed = {}
    for name in ('CrossAttentionDecoder', 'SwinDecoder'):
        model = build_model(neck=necks[name])
        groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
        decay = {id(value): group['weight_decay'] for group in groups for value in group['params']}
        decayed.update({key: decay[id(value)] > 0 for key, value in model.neck.named_parameters()})
    exempt = {key.rpartition('.')[2] for key, value in decayed.items() if not value}
    assert exempt == {'bias', 'weight', 'query', 'empty_key', 'relative_position_bias_table'}
    assert {key for key, value in decayed.items() if value} == {
        key for key in decayed if key.endswith('weight') and 'norm' not in key
    }


def test_mixed_precision_gives_finite_numbers(name, build, some_input):
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


@pytest.mark.parametrize('side', [2, 4, 16], ids=['coarser', 'as the cells', 'finer'])
def test_a_model_learns_with_it(name, side, build_model, necks):
    """Loss and backward with masks of any resolution: every parameter learns, and the loss falls."""
    model = build_model(neck=necks[name], img_size=(128, 64))
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


@pytest.mark.parametrize('encoder_name', ['VisionTransformer', 'ResNet'])
def test_other_encoders_and_coarser_targets(name, encoder_name, build_model, tiny_encoders, necks):
    """Strides of 16 and 32, with means of 8x8 px to predict: the loss of all pixels is that of the whole map."""
    head = dict(type='ReconstructionHead', target=dict(type='PixelTarget', stride=8), area='all')
    model = build_model(backbone=tiny_encoders[encoder_name], neck=necks[name], head=head).eval()
    images = torch.randn(2, 3, 64, 64)
    mask = torch.rand(2, 2, 2) < 0.5
    features, hidden = model.masker.encode(model.backbone, images, mask)
    expected = (model.neck(features, hidden) - F.avg_pool2d(images, 8)).abs().mean()
    torch.testing.assert_close(model.loss(images, mask)['loss'], expected, rtol=1e-4, atol=0)
