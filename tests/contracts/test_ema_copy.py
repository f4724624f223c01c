"""Promise: copies of a model (deepcopy, EMA) hide cells with their own token."""

import copy
import pickle

import pytest
import torch
from mmengine.model import ExponentialMovingAverage

IMAGES = torch.linspace(-2, 2, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
MASK = torch.tensor([[[True, False], [False, True]]] * 2)


def _copy_of(model, how):
    if how == 'deepcopy':
        return copy.deepcopy(model)
    if how == 'pickle':
        return pickle.loads(pickle.dumps(model))
    return ExponentialMovingAverage(model, momentum=0.1).module


@pytest.mark.parametrize('how', ['deepcopy', 'pickle', 'ema'])
def test_copy_uses_its_own_token(tiny_model, how):
    """Changing the token of one changes the output of that one alone, in both directions."""
    other = _copy_of(tiny_model, how)

    def features(model):
        return model.masker.encode(model.backbone, IMAGES, MASK)[0].detach()

    before = features(tiny_model)
    assert torch.equal(features(other), before)
    with torch.no_grad():
        other.masker.mask_token += 1.0
    assert torch.equal(features(tiny_model), before)
    changed = features(other)
    assert not torch.equal(changed, before)
    with torch.no_grad():
        tiny_model.masker.mask_token -= 1.0
    assert torch.equal(features(other), changed)
    assert not torch.equal(features(tiny_model), before)


def test_copy_gets_its_own_gradient(tiny_model):
    """The loss of a copy reaches the token of the copy alone."""
    other = copy.deepcopy(tiny_model)
    other.loss(IMAGES, MASK)['loss'].backward()
    assert other.masker.mask_token.grad.abs().max() > 0
    assert tiny_model.masker.mask_token.grad is None


def test_masks_of_two_models_do_not_meet(build_model):
    """A model inside another's forward pass is not masked: no state is shared between models."""
    first, second = build_model(), build_model()
    plain = second(IMAGES)[-1]
    seen = []
    first.backbone.stages[0].register_forward_pre_hook(lambda module, args: seen.append(second(IMAGES)[-1]))
    first.masker.encode(first.backbone, IMAGES, MASK)
    assert torch.equal(seen[0], plain)


def test_ema_token_follows_the_average(tiny_model):
    """After one update, the averaged token is (1 - m) * old + m * new."""
    ema = ExponentialMovingAverage(tiny_model, momentum=0.25)
    ema.update_parameters(tiny_model)  # the first call copies
    old = tiny_model.masker.mask_token.detach().clone()
    with torch.no_grad():
        tiny_model.masker.mask_token += 2.0
    ema.update_parameters(tiny_model)
    torch.testing.assert_close(ema.module.masker.mask_token.detach(), old + 0.5)
