"""Convolutional encoders with the channels last: the same numbers, in another order of memory."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import build_model, tiny_encoders

from simmim_mm.acceleration import accelerate, choose_levers


def in_order(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last)


def batch():
    torch.manual_seed(1)
    return torch.randn(2, 3, 64, 64, dtype=torch.float64), torch.tensor([[[True, False], [False, True]]] * 2)


def step(model):
    images, mask = batch()
    features, _ = model.masker.encode(model.backbone, images, mask)
    loss = model.neck(features, mask).square().mean()
    return features, torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize('others', ['off', 'exact'])
@pytest.mark.parametrize('name', ['ConvNeXt', 'ConvNeXt V2', 'ResNet'])
def test_the_same_in_another_order(name, others):
    """Features and gradients in fp64, alone and with the other levers; every map of the encoder is in this order."""
    reference = build_model(backbone=tiny_encoders()[name]).double()
    model = copy.deepcopy(reference)
    report = accelerate(model, others, allocator=False, channels_last=True)['channels_last']
    assert 'convolutions of' in report
    maps = []
    for module in model.backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda module, args, output: maps.append((args[0], output)))
    features, gradients = step(model)
    expected, references = step(reference)
    torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-12)
    for gradient, other in zip(gradients, references, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-10 * other.abs().max().item() + 1e-14)
    assert maps
    assert all(in_order(entering) and in_order(leaving) for entering, leaving in maps)
    assert in_order(features)


def test_keys_values_and_loading_stay():
    """Weights of the plain model load, keep the order, and go back as they came."""
    reference = build_model(backbone=tiny_encoders()['ConvNeXt'])
    model = build_model(backbone=tiny_encoders()['ConvNeXt'])
    accelerate(model, 'off', channels_last=True)
    model.load_state_dict(reference.state_dict())
    for key, value in reference.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    weight = next(module for module in model.backbone.modules() if isinstance(module, torch.nn.Conv2d)).weight
    assert in_order(weight)
    assert in_order(copy.deepcopy(model).backbone.downsample_layers[0][0].weight)
    reference.load_state_dict(model.state_dict())


def test_where_it_is_on():
    assert choose_levers('cuda', 'exact')['channels_last'] is True
    assert 'channels_last' not in choose_levers('cpu', 'max')
    report = accelerate(build_model(), 'off', channels_last=True)['channels_last']
    assert report == 'does not apply: SwinTransformer is neither ConvNeXt nor ResNet'
