"""Operations with gradients of their own, against PyTorch's, and what they keep."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from tiny import build_model, tiny_encoders
from torch import nn
from torch.autograd import gradcheck

from simmim_mm.acceleration import accelerate, scores
from simmim_mm.acceleration.mlp import gelu_linear
from simmim_mm.acceleration.norms import RecallingLinear, RememberingNorm
from simmim_mm.acceleration.scores import attend


def doubles(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(('method', 'chunk'), [('matmul', 2**18), ('matmul', 800), ('matmul', 1), ('sdpa', 1)])
def test_attention(monkeypatch, method, chunk):
    """Values by the formula, gradients of all four inputs by differences; at once, 2 of 3 groups, and one by one."""
    monkeypatch.setattr(scores, 'CHUNK', chunk)
    query, key, value, bias = *(doubles(3, 3, 4, 2) for _ in range(3)), doubles(3, 4, 4)
    expected = torch.softmax(0.3 * query @ key.mT + bias, dim=-1) @ value
    inputs = (query, key, value, bias)
    torch.testing.assert_close(attend(*inputs, 0.3, method, wide=False), expected)
    assert gradcheck(lambda *tensors: attend(*tensors, 0.3, method, wide=False), inputs)


def test_wide_scores():
    """Scores of 100 and more in bf16 are off by half a unit; added to the bias in fp32, they decide as they should."""
    query = torch.zeros(1, 1, 2, 4, dtype=torch.bfloat16)
    bias = torch.tensor([[[128.0, 128.4], [0.0, 0.0]]])
    value = torch.tensor([[[[1.0], [0.0]]]], dtype=torch.bfloat16)
    wide, narrow = (attend(query, query, value, bias, 1.0, 'matmul', wide=wide)[0, 0, 0, 0] for wide in (True, False))
    expected = torch.softmax(bias[0, 0], dim=0)[0]
    assert abs(wide - expected) < 0.01 < abs(narrow - expected)


@pytest.mark.parametrize('approximate', ['none', 'tanh'])
def test_gelu_linear(approximate):
    linear = nn.Linear(4, 3).double()
    x = doubles(2, 5, 4)
    torch.testing.assert_close(gelu_linear(x, linear, approximate), linear(F.gelu(x, approximate=approximate)))

    def function(x, weight, bias):
        linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
        return gelu_linear(x, linear, approximate)

    assert gradcheck(lambda x: gelu_linear(x, linear, approximate), x)
    for parameter in linear.parameters():
        gradient, expected = (
            torch.autograd.grad(y.sin().sum(), parameter)[0]
            for y in (gelu_linear(x, linear, approximate), linear(F.gelu(x, approximate=approximate)))
        )
        torch.testing.assert_close(gradient, expected)


def test_normed_linear():
    """A norm and the linear layer after it, inputs and parameters alike."""
    norm, linear = nn.LayerNorm(4).double(), nn.Linear(4, 3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    fast_norm, fast_linear = copy.deepcopy(norm), copy.deepcopy(linear)
    fast_norm.__class__, fast_linear.__class__ = RememberingNorm, RecallingLinear
    x = doubles(2, 5, 4)
    gradients = []
    for first, second in ((norm, linear), (fast_norm, fast_linear)):
        inputs = [x, *first.parameters(), *second.parameters()]
        gradients.append(torch.autograd.grad(second(first(x)).sin().sum(), inputs))
    for gradient, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected)


def kept_for_the_gradient(model, images, mask):
    """Bytes of the activations that a forward pass keeps."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.loss(images, mask)
    return sum(size for address, (size, _) in kept.items() if address not in weights)


@pytest.mark.parametrize(
    ('name', 'lever'), [('SwinTransformer', 'mlp'), ('SwinTransformer', 'norms'), ('ConvNeXt', 'mlp')]
)
def test_less_is_kept(name, lever):
    """The point of the two levers. Two norms of width D a block, and one map of width 4 D, are not kept."""
    model = build_model(backbone=tiny_encoders()[name])
    lean = copy.deepcopy(model)
    # The host's own windows copy the norm before the linear layer.
    others = dict(windows=True, attention='auto') if lever == 'norms' else {}
    accelerate(model, 'off', **others)
    accelerate(lean, 'off', **others, **{lever: True})
    images, mask = torch.randn(1, 3, 64, 64), torch.ones(1, 2, 2, dtype=torch.bool)
    saved = kept_for_the_gradient(model, images, mask) - kept_for_the_gradient(lean, images, mask)
    blocks = 2 if name == 'SwinTransformer' else 1
    block = 4 * blocks * sum(16 * 2**stage * (16 // 2**stage) ** 2 for stage in range(4))
    assert saved == block * (4 if lever == 'mlp' else 2)
