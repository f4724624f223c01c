"""Several small batches in place of a large one."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import build_model

from simmim_mm.engine import PrecisionOptimWrapper


def batch(numbers):
    """Images with so many of their four cells hidden."""
    torch.manual_seed(1)
    mask = torch.zeros(len(numbers), 4, dtype=torch.bool)
    for row, number in zip(mask, numbers, strict=True):
        row[torch.randperm(4)[:number]] = True
    return torch.randn(len(numbers), 3, 64, 64), mask.view(-1, 2, 2)


def gradients_of_steps(model, images, mask, counts):
    """What one update subtracts, which is the gradient for SGD with a rate of 1; and the norm that was logged."""
    model = copy.deepcopy(model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optim = PrecisionOptimWrapper(
        torch.optim.SGD(model.parameters(), lr=1.0),
        precision='fp32',
        accumulative_counts=counts,
        clip_grad=dict(max_norm=1e9),
    )
    optim.message_hub.log_scalars.pop('train/grad_norm', None)
    for part, part_mask in zip(images.chunk(counts), mask.chunk(counts), strict=True):
        with optim.optim_context(model):
            loss = model(part, part_mask, mode='loss')['loss']
        optim.update_params(loss)
    norms = optim.message_hub.get_scalar('train/grad_norm').data[0]
    assert len(norms) == 1  # one update
    return {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}, norms[0]


def differences(first, second):
    """The largest difference of a parameter's gradients, relative to its largest gradient."""
    return max(
        ((first[name] - second[name]).abs().max() / second[name].abs().max().clamp(min=1e-12)).item() for name in first
    )


def test_equal_numbers_of_hidden_cells_give_the_large_batch():
    """As of all masks with a fixed ratio: four batches of two are one of eight, and so is the norm for clipping."""
    model = build_model()
    images, mask = batch([2] * 8)
    accumulated, norm = gradients_of_steps(model, images, mask, 4)
    whole, expected = gradients_of_steps(model, images, mask, 1)
    assert norm == pytest.approx(expected, rel=1e-5)
    assert differences(accumulated, whole) < 1e-3  # fp32 weights, of which gradients are a difference


def test_unequal_numbers_give_the_mean_of_the_means():
    """The loss is a mean over hidden pixels, so a small batch that hides less counts its pixels more."""
    model = build_model()
    images, mask = batch([1, 1, 4, 4])
    accumulated, _ = gradients_of_steps(model, images, mask, 2)
    parts = zip(images.chunk(2), mask.chunk(2), strict=True)
    losses = [model(part, part_mask, mode='loss')['loss'] for part, part_mask in parts]
    parameters = dict(model.named_parameters())
    means = torch.autograd.grad(sum(losses) / 2, list(parameters.values()))
    assert differences(accumulated, dict(zip(parameters, means, strict=True))) < 1e-3
    whole, _ = gradients_of_steps(model, images, mask, 1)
    assert differences(accumulated, whole) > 1e-2
