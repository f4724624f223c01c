"""ViTDet's pyramid: sizes, its norms, and where each map comes from."""

from __future__ import annotations

import torch

from simmim_mm.models import SimplePyramid


def test_maps_have_strides_4_to_64_and_normed_channels():
    """Sizes by hand; over the channels of each position the mean is 0 and the variance 1."""
    neck = SimplePyramid(16, out_channels=8, num_outs=5)
    maps = neck([torch.zeros(1), torch.randn(2, 16, 5, 7)])
    assert [tuple(part.shape) for part in maps] == [
        (2, 8, 20, 28), (2, 8, 10, 14), (2, 8, 5, 7), (2, 8, 3, 4), (2, 8, 2, 2)
    ]  # fmt: skip
    for part in maps:
        assert torch.allclose(part.mean(dim=1), torch.zeros(()), atol=1e-5)
        assert torch.allclose(part.var(dim=1, unbiased=False), torch.ones(()), atol=1e-2)
    assert torch.equal(maps[4], maps[3][:, :, ::2, ::2])


def test_the_maps_stay_in_place():
    """A token moves the positions around its own place alone: 3x3 convolutions reach one cell further."""
    neck = SimplePyramid(16, out_channels=8)
    features = torch.randn(1, 16, 8, 8)
    other = features.clone()
    other[..., 2, 5] += 1
    for factor, before, after in zip((4, 2, 1), neck([features]), neck([other]), strict=False):
        rows, columns = torch.nonzero((before != after).any(dim=1)[0], as_tuple=True)
        assert rows.min() >= 2 * factor - 1
        assert rows.max() <= 3 * factor
        assert columns.min() >= 5 * factor - 1
        assert columns.max() <= 6 * factor


def test_every_weight_learns():
    neck = SimplePyramid(16, out_channels=8)
    sum((part * torch.randn_like(part)).sum() for part in neck([torch.randn(1, 16, 4, 4)])).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in neck.parameters())
