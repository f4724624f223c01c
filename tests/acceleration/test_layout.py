"""Windows as index arithmetic, against the host's rolls and copies."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.models.utils import ShiftWindowMSA
from torch import nn
from torch.autograd import gradcheck

from simmim_mm.acceleration.layout import MOST_SIZES, WindowLayout, _join_by_roll, _split_by_roll

LAYOUTS = [(4, 4, 2, 1), (6, 6, 3, 0), (6, 9, 3, 1), (9, 6, 3, 2), (4, 4, 4, 2)]


@pytest.mark.parametrize('sides', LAYOUTS)
def test_windows_are_the_hosts(sides):
    layout = WindowLayout(*sides)
    height, width, window, shift = sides
    tokens = torch.randn(2, height * width, 3 * 2 * 5)
    rolled = tokens.view(2, height, width, -1).roll((-shift, -shift), (1, 2))
    expected = ShiftWindowMSA.window_partition(rolled, window).view(2, layout.number, window**2, 3, 2, 5)
    windows = layout.split(tokens, heads=2, parts=3)
    assert torch.equal(windows, expected.permute(3, 0, 1, 4, 2, 5))
    assert torch.equal(layout.join(windows), tokens)
    # What torch.compile gets.
    assert torch.equal(_split_by_roll(tokens, layout, 2, 3), windows)
    assert torch.equal(_join_by_roll(windows, layout), tokens)


@pytest.mark.parametrize('sides', LAYOUTS)
def test_the_mask_is_the_hosts(sides):
    height, width, window, shift = sides
    owner, device = nn.Module(), torch.device('cpu')
    mask = WindowLayout(*sides).mask(owner, device)
    expected = ShiftWindowMSA.get_attn_mask((height, width), window, shift)
    assert (mask is None) == (expected is None)
    if mask is not None:
        assert torch.equal(mask, expected)
        assert mask is WindowLayout(*sides).mask(owner, device)  # made once
        assert not list(owner.buffers())


def test_few_masks_are_kept():
    """Of detectors, whose maps have ever new sizes."""
    owner, device = nn.Module(), torch.device('cpu')
    for width in range(4, 64, 2):
        mask = WindowLayout(4, width, 2, 1).mask(owner, device)
        assert torch.equal(mask, ShiftWindowMSA.get_attn_mask((4, width), 2, 1))
    assert sum(isinstance(value, torch.Tensor) for value in vars(owner).values()) == MOST_SIZES


def test_gradients():
    layout = WindowLayout(6, 3, 3, 1)
    tokens = torch.randn(1, 18, 4, dtype=torch.float64, requires_grad=True)
    windows = torch.randn(2, 1, 2, 1, 9, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: layout.split(x, 1, 2), tokens)
    assert gradcheck(layout.join, windows)
