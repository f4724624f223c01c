"""Promise: any encoder, masker, decoder, target and loss go together, if they make sense together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from simmim_mm.masking import expand
from simmim_mm.registry import MODELS

# Of PixelMasker, in turn.
FILLS = ('zero', 'mean', 'noise', 'learned')
DECODERS = {
    'linear': dict(type='LinearDecoder'),
    'mlp': dict(type='MLPDecoder', hidden_channels=8),
    'deconv': dict(type='DeconvDecoder'),
    'swin': dict(type='SwinDecoder', arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])),
    'transformer': dict(type='TransformerDecoder', embed_dims=16, depth=1, num_heads=2),
    'cross-attention': dict(type='CrossAttentionDecoder', embed_dims=16, depth=1, num_heads=2),
}
PIXELS, COARSE = dict(type='PixelTarget'), dict(type='PixelTarget', stride=4)
PAIRS = {
    'pixels, L1': (PIXELS, dict(type='L1Loss')),
    'pixels, L2': (PIXELS, dict(type='L2Loss')),
    'pixels, smooth L1': (PIXELS, dict(type='SmoothL1Loss')),
    'pixels, Gaussian': (COARSE, dict(type='GaussianNLLLoss', variance=0.5)),
    'pixels, Gaussian with its variance': (COARSE, dict(type='GaussianNLLLoss', variance='learned')),
    'pixels, mixture': (COARSE, dict(type='MixtureNLLLoss', num_components=3)),
    'patch-normalised pixels, L1': (dict(type='PixelTarget', norm='patch', norm_size=16), dict(type='L1Loss')),
    'window-normalised pixels, L2': (dict(type='PixelTarget', norm='window', norm_size=7), dict(type='L2Loss')),
    'colour bins': (dict(type='ColorBinTarget', bins=8, stride=4), dict(type='CrossEntropyLoss')),
    'colour clusters': (dict(type='ColorClusterTarget', stride=4), dict(type='CrossEntropyLoss')),
    'HOG, L2': (dict(type='HOGTarget'), dict(type='L2Loss')),
    'teacher, smooth L1': (dict(type='FeatureTarget'), dict(type='SmoothL1Loss')),
}


def complete(target: dict, colour_file, teacher) -> dict:
    """Adds the files that some targets read."""
    if target['type'] == 'ColorClusterTarget':
        return {**target, 'clusters': colour_file(np.random.default_rng(0).uniform(0, 255, (6, 3)))}
    return {**target, **teacher()} if target['type'] == 'FeatureTarget' else target


@pytest.mark.parametrize('pixels', [False, True], ids=['token', 'pixels'])
def test_every_combination_trains(encoder, pixels, colour_file, teacher):
    """A finite loss above 0, and a finite gradient for every parameter."""
    fills = itertools.cycle(FILLS)
    pairs = {name: (complete(target, colour_file, teacher), loss) for name, (target, loss) in PAIRS.items()}
    images, mask = torch.randn(2, 3, 64, 64), torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, :3, :2] = mask[1, 1:, ::2] = True  # cells of 16 px: of a 32 px cell, hidden in part and as a whole
    for (decoder, neck), (pair, (target, loss)) in itertools.product(DECODERS.items(), pairs.items()):
        masker = dict(type='PixelMasker', fill=next(fills)) if pixels else dict(type='TokenMasker')
        head = dict(type='ReconstructionHead', target=target, loss=loss)
        model = MODELS.build(dict(type='SimMIM', backbone=encoder, masker=masker, neck=neck, head=head, img_size=64))
        value = model.loss(images, mask)['loss']
        value.backward()
        what = f'{masker}, {decoder}, {pair}'
        assert torch.isfinite(value), what
        assert value > 0 or 'Gaussian' in pair or 'mixture' in pair, what
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f'{what}: {name}'
                assert torch.isfinite(parameter.grad).all(), f'{what}: {name}'


@pytest.mark.parametrize('fill', FILLS)
def test_no_feature_depends_on_a_hidden_pixel(encoder, fill):
    """The gradient on hidden pixels is exactly 0, for every fill; test_encoders.py says so of the token."""
    model = MODELS.build(dict(type='SimMIM', backbone=encoder, masker=dict(type='PixelMasker', fill=fill), img_size=64))
    model.init_weights()
    model.eval()
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    mask = torch.rand(1, 32, 32) < 0.5  # cells of 2 px, finer than any stem's
    features, _ = model.masker.encode(model.backbone, images, mask)
    (gradient,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), images)
    pixels = expand(mask, (64, 64)).unsqueeze(1).expand_as(images)
    assert gradient[pixels].abs().max() == 0
    assert gradient[~pixels].abs().max() > 0
