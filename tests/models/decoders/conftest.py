"""Tiny decoders, and something to decode."""

import pytest
import torch

from simmim_mm.registry import MODELS

ARCH = dict(embed_dims=8, depths=[1, 2, 2], num_heads=[1, 2, 2])
TINY = {
    'CrossAttentionDecoder': dict(embed_dims=16, depth=2, num_heads=2, mlp_ratio=2.0),
    'DeconvDecoder': dict(widths=(8, 6)),
    'SwinDecoder': dict(arch=ARCH, window_size=3),
    'TransformerDecoder': dict(embed_dims=16, depth=2, num_heads=2, mlp_ratio=2.0),
}


@pytest.fixture(params=sorted(TINY))
def name(request):
    """Each decoder whose cells look at each other."""
    return request.param


@pytest.fixture
def necks():
    """A tiny config of each."""
    return {name: dict(type=name, **kwargs) for name, kwargs in TINY.items()}


@pytest.fixture
def build(necks):
    """Builds a tiny decoder in float64, with drawn weights."""

    def make(name, upscale=4, in_channels=5, out_channels=2, **kwargs):
        sizes = dict(in_channels=in_channels, out_channels=out_channels, upscale=upscale)
        decoder = MODELS.build({**necks[name], **sizes, **kwargs})
        decoder.init_weights()
        return decoder.double()

    return make


@pytest.fixture
def some_input():
    """Makes features of 5 channels, and a mask that hides about half of their cells."""

    def make(grid_hw=(3, 5), num_images=2):
        features = torch.randn(num_images, 5, *grid_hw, dtype=torch.float64, requires_grad=True)
        return features, torch.rand(num_images, *grid_hw) < 0.5

    return make
