"""PixelMasker: what the encoder sees at hidden places, for every fill and encoder, down to single pixels."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from simmim_mm.models.maskers.pixel import FILLS, position_noise
from simmim_mm.registry import MODELS


def build(build_model, fill='mean', **kwargs):
    return build_model(masker=dict(type='PixelMasker', fill=fill), **kwargs)


def random_mask(images, cell: int, share: float = 0.5) -> torch.Tensor:
    batch, _, height, width = images.shape
    return torch.rand(batch, height // cell, width // cell) < share


def in_pixels(mask, cell: int) -> torch.Tensor:
    """Brute force: (B, H, W)."""
    batch, h, w = mask.shape
    pixels = torch.zeros(batch, h * cell, w * cell, dtype=torch.bool)
    for b, i, j in mask.nonzero().tolist():
        pixels[b, i * cell : (i + 1) * cell, j * cell : (j + 1) * cell] = True
    return pixels


def seen_by_the_encoder(model, images, mask) -> torch.Tensor:
    """The backbone's input, caught by a hook."""
    seen = []
    handle = model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.masker.encode(model.backbone, images, mask)
    handle.remove()
    (image,) = seen
    return image


@pytest.mark.parametrize('cell', [1, 2, 3, 16, 64])
@pytest.mark.parametrize('fill', FILLS)
@pytest.mark.parametrize('train', [True, False])
def test_visible_pixels_stay_and_hidden_ones_are_the_fill(build_model, fill, cell, train):
    """By hand for each pixel: 0, the mean of what is visible, the learned colour; noise is looked at below."""
    model = build(build_model, fill, backbone=dict(type='mmpretrain.ResNet', depth=18, base_channels=4)).train(train)
    side = 66 if cell == 3 else 64
    images = torch.randn(3, 3, side, side)
    mask = random_mask(images, cell)
    mask[2] = True  # nothing is visible
    seen = model.masker.hide(images, mask)
    pixels = in_pixels(mask, cell)
    if side == 64:
        torch.manual_seed(7)
        caught = seen_by_the_encoder(model, images, mask)
        torch.manual_seed(7)
        assert torch.equal(caught, model.masker.hide(images, mask))
    for b in range(3):
        assert torch.equal(seen[b][:, ~pixels[b]], images[b][:, ~pixels[b]])
        hidden = seen[b][:, pixels[b]]
        for c in range(3):
            visible = images[b, c][~pixels[b]].double()
            expected = {
                'zero': 0.0,
                'mean': visible.mean().item() if len(visible) else 0.0,
                'learned': model.masker.mask_pixel[c].item() if fill == 'learned' else None,
            }.get(fill)
            if expected is not None:
                assert (hidden[c].double() - expected).abs().max() < 1e-6 if len(hidden[c]) else True
                assert len(hidden[c].unique()) <= 1


def test_noise_is_new_in_training_and_fixed_in_evaluation(build_model):
    """Training: two calls, two images and two channels differ. Evaluation: a function of the position."""
    model = build(build_model, 'noise')
    images = torch.randn(2, 3, 64, 64)
    mask = torch.ones(2, 2, 2, dtype=torch.bool)
    model.train()
    first, second = model.masker.hide(images, mask), model.masker.hide(images, mask)
    assert not torch.isclose(first, second).any(dim=1).any(dim=1).all()
    assert not torch.equal(first[0], first[1])
    assert first.std() == pytest.approx(1, abs=0.03)
    model.eval()
    first, second = model.masker.hide(images, mask), model.masker.hide(torch.zeros(1, 3, 64, 64), mask[:1])
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[:1], second)
    assert copy.deepcopy(model).masker.hide(images, mask).equal(first)


def test_the_fixed_noise_is_standard_normal():
    """Kolmogorov-Smirnov distance below the 99.9 % quantile, no correlation with neighbours and other channels."""
    noise = position_noise(torch.empty(3, 128, 192)).double()
    assert stats.kstest(noise.flatten().numpy(), 'norm').statistic < 1.95 / noise.numel() ** 0.5
    assert torch.isfinite(noise).all()
    shifts = [(noise[..., 1:], noise[..., :-1]), (noise[:, 1:], noise[:, :-1]), (noise[1:], noise[:-1])]
    assert max(abs((a * b).mean().item()) for a, b in shifts) < 4 / (noise.numel() / 2) ** 0.5


@pytest.mark.parametrize('fill', FILLS)
@pytest.mark.parametrize('cell', [1, 16])
def test_no_feature_depends_on_a_hidden_pixel(encoder, build_model, fill, cell):
    """For every encoder: the gradient is exactly 0 on hidden pixels, and hidden NaN change nothing, bit by bit."""
    model = build(build_model, fill, backbone=encoder).eval()
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    mask = random_mask(images, cell)
    features, hidden = model.masker.encode(model.backbone, images, mask)
    assert hidden is mask
    (gradient,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), images)
    pixels = in_pixels(mask, cell).unsqueeze(1).expand_as(images)
    assert gradient[pixels].abs().max() == 0
    assert gradient[~pixels].abs().max() > 0
    for poison in (1e4, float('nan'), float('inf')):
        again, _ = model.masker.encode(model.backbone, images.masked_fill(pixels, poison), mask)
        assert torch.equal(again, features)


@pytest.mark.parametrize('fill', FILLS)
def test_a_training_step_reaches_every_parameter(encoder, build_model, fill):
    """Every parameter gets a finite gradient, with masks of single pixels and of cells."""
    model = build(build_model, fill, backbone=encoder)
    images = torch.randn(4, 3, 64, 64)
    model.loss(images, random_mask(images, 1))['loss'].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert any(name == 'masker.mask_pixel' for name, _ in model.named_parameters()) == (fill == 'learned')
    model.zero_grad()
    model.loss(images, random_mask(images, 32))['loss'].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize('cell', [1, 2, 32])
@pytest.mark.parametrize('name', ['PixelMask', 'IrregularMask'])
def test_the_loss_of_fine_masks_is_that_of_the_formula(build_model, transform, cell, name):
    """From the transform to the loss: mean of |x - y| over hidden pixels and channels, by a loop over the image."""
    model = build(build_model).eval()
    images = torch.randn(2, 3, 64, 128)
    generator = transform(name, mask_patch_size=cell, mask_ratio=0.3)
    blank = np.zeros((64, 128, 3), np.uint8)
    mask = torch.stack(
        [torch.from_numpy(generator(dict(img=blank, rng=np.random.default_rng(seed)))['mask']) for seed in range(2)]
    )
    with torch.no_grad():
        loss = model.loss(images, mask)['loss'].item()
        features, _ = model.masker.encode(model.backbone, images, mask)
        prediction = model.neck(features, mask)
    total, pixels = 0.0, in_pixels(mask, cell)
    for b, y, x in pixels.nonzero().tolist():
        total += (prediction[b, :, y, x] - images[b, :, y, x]).abs().sum().item()
    assert loss == pytest.approx(total / (int(pixels.sum()) + 1e-5) / 3, rel=1e-4)


def test_reconstructions_say_what_was_hidden(build_model):
    """To the pixel."""
    model = build(build_model).eval()
    images = torch.randn(1, 3, 64, 64)
    mask = random_mask(images, 1)
    with torch.no_grad():
        assert torch.equal(model.reconstruct(images, mask).hidden, mask)


@pytest.mark.parametrize('fill', FILLS)
@pytest.mark.parametrize('train', [True, False])
def test_hiding_is_one_graph(build_model, fill, train):
    """No graph breaks under torch.compile; the compiled result is the same."""
    torch._dynamo.reset()
    masker = build(build_model, fill).masker.train(train)
    images = torch.randn(2, 3, 64, 64)
    mask = random_mask(images, 1)
    explanation = torch._dynamo.explain(masker.hide)(images, mask)
    assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)


def test_encoding_is_one_graph(build_model):
    torch._dynamo.reset()
    model = build(build_model, 'learned').eval()
    images = torch.randn(2, 3, 64, 64)
    explanation = torch._dynamo.explain(model.masker.encode)(model.backbone, images, random_mask(images, 2))
    assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)


def test_a_token_masker_names_the_pixel_masker(build_model):
    """Cells of 1 px are finer than Swin's stem."""
    images = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r'mask_patch_size of at least 4, or masker=dict\(type=.PixelMasker.\)'):
        build_model().loss(images, random_mask(images, 1))


def test_facts_are_derived_and_contradictions_refused(build_model, tiny_swin):
    """As many learned numbers as channels; each masker gets the facts that it takes."""
    thirteen = dict(type='MaskedImagePreprocessor', mean=[100.0] * 13, std=[50.0] * 13)
    model = build(build_model, 'learned', backbone=tiny_swin(in_channels=13), data_preprocessor=thirteen)
    assert model.masker.mask_pixel.shape == (13,)
    assert 0 < model.masker.mask_pixel.abs().max() < 0.04 * 3
    with pytest.raises(ValueError, match='model.masker.image_channels=4 contradicts'):
        build_model(masker=dict(type='PixelMasker', image_channels=4))
    with pytest.raises(ValueError, match='model.masker.embed_dims=4 contradicts'):
        build_model(masker=dict(type='TokenMasker', embed_dims=4))

    class OwnMasker(MODELS.get('TokenMasker')):
        """A class of one's own, by type instead of name."""

    assert build_model(masker=dict(type=OwnMasker)).masker.mask_token.shape == (1, 1, 16)


@pytest.mark.parametrize('fill', ['token', '', None, 0, 'Mean'])
def test_unknown_fills_are_refused(fill):
    with pytest.raises(ValueError, match="use 'zero', 'mean', 'noise', 'learned'"):
        MODELS.build(dict(type='PixelMasker', image_channels=3, fill=fill))


def test_masks_that_do_not_fit_the_pixels_are_refused(build_model):
    masker = build(build_model).masker
    for shape in ((1, 5, 5), (1, 128, 128), (1, 64, 128)):
        with pytest.raises(ValueError, match='change mask_patch_size'):
            masker.hide(torch.zeros(1, 3, 64, 64), torch.ones(shape, dtype=torch.bool))


def test_a_stem_can_be_named_for_an_encoder_that_is_not_in_the_table(build_model):
    """The encoder itself may mix pixels as it likes: it never sees the hidden ones."""

    class OneConvolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 7, stride=4, padding=3)
            self.body = nn.Conv2d(8, 16, 8, stride=8)

        def forward(self, images):
            return self.body(self.stem(images))

    model = build_model(backbone=dict(type=OneConvolution), masker=dict(type='PixelMasker', fill='zero', stem='stem'))
    images = torch.randn(1, 3, 64, 64)
    assert torch.isfinite(model.loss(images, random_mask(images, 1))['loss'])
