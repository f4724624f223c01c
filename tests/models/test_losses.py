"""Losses against PyTorch's own functions and distributions, and formulas worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from simmim_mm.models import CrossEntropyLoss, GaussianNLLLoss, L1Loss, Loss, MixtureNLLLoss

CHANNELS = 3


def numbers(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64) * scale


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('num_classes', [2, 8])
def test_cross_entropy_equals_pytorchs_channel_by_channel(num_classes, smoothing):
    """Logits of channel c stand at c * P to c * P + P - 1; F.cross_entropy of each position by itself."""
    loss = CrossEntropyLoss(num_classes, label_smoothing=smoothing)
    prediction = numbers(4, CHANNELS * num_classes, 2, 2)
    target = torch.randint(num_classes, (4, CHANNELS, 2, 2))
    value, estimate = loss(prediction, target), loss.estimate(prediction)
    assert value.shape == estimate.shape == target.shape
    for n in range(4):
        for c in range(CHANNELS):
            for y in range(2):
                for x in range(2):
                    logits = prediction[n, c * num_classes : (c + 1) * num_classes, y, x]
                    expected = F.cross_entropy(logits, target[n, c, y, x], label_smoothing=smoothing)
                    torch.testing.assert_close(value[n, c, y, x], expected)
                    assert estimate[n, c, y, x] == logits.argmax()


def test_learned_gaussians_equal_the_distributions():
    """Mean and log-variance stand beside each other in each channel."""
    loss = GaussianNLLLoss()
    prediction, target = numbers(4, CHANNELS * 2, 2, 2, scale=2), numbers(4, CHANNELS, 2, 2)
    mean, log_variance = prediction[:, 0::2], prediction[:, 1::2]
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(loss(prediction, target), -normal.log_prob(target))
    assert torch.equal(loss.estimate(prediction), mean)


def test_fixed_gaussians_by_hand():
    """d = 3, variance 4: (log(8 pi) + 9 / 4) / 2."""
    loss = GaussianNLLLoss(variance=4)
    value = loss(torch.full((1, 1, 1, 1), 5.0), torch.full((1, 1, 1, 1), 2.0))
    assert value.item() == pytest.approx((math.log(8 * math.pi) + 9 / 4) / 2, rel=1e-6)
    assert loss.params_per_channel == 1
    prediction = torch.randn(2, CHANNELS, 2, 2)
    assert torch.equal(loss.estimate(prediction), prediction)


@pytest.mark.parametrize('num_components', [1, 2, 5])
def test_mixtures_equal_the_distributions(num_components):
    """Logits, means and log-scales, K of each, channel by channel; value and mean of MixtureSameFamily."""
    loss = MixtureNLLLoss(num_components)
    prediction, target = numbers(3, CHANNELS * 3 * num_components, 2, 2), numbers(3, CHANNELS, 2, 2)
    split = prediction.view(3, CHANNELS, 3, num_components, 2, 2).movedim(3, -1)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=split[:, :, 0]),
        torch.distributions.Normal(split[:, :, 1], split[:, :, 2].exp()),
    )
    torch.testing.assert_close(loss(prediction, target), -mixture.log_prob(target))
    torch.testing.assert_close(loss.estimate(prediction), mixture.mean)


@pytest.mark.parametrize('loss', [GaussianNLLLoss(), GaussianNLLLoss(0.01), MixtureNLLLoss(3), CrossEntropyLoss(4)])
@pytest.mark.parametrize('size', [0.0, 1e4, -1e4])
def test_extreme_predictions_have_finite_losses_and_gradients(loss, size):
    """In fp32, with all numbers at once far off, or mixed."""
    for signs in (1, torch.randn(2, CHANNELS * loss.params_per_channel, 2, 2).sign()):
        prediction = (torch.full((2, CHANNELS * loss.params_per_channel, 2, 2), size) * signs).requires_grad_()
        target = torch.randn(2, CHANNELS, 2, 2)
        target = torch.zeros_like(target, dtype=torch.int64) if loss.takes_labels else target
        value = loss(prediction, target)
        value.sum().backward()
        assert torch.isfinite(value).all()
        assert torch.isfinite(prediction.grad).all()


def test_a_variance_beyond_its_bounds_comes_back():
    """The loss is that of the bound, and its gradient still points inwards, which a clamp's would not (it is 0)."""
    loss = GaussianNLLLoss()
    for log_variance, distance in ((-30.0, 1.0), (30.0, 0.0)):
        prediction = torch.tensor([[distance, log_variance]]).view(1, 2, 1, 1).requires_grad_()
        value = loss(prediction, torch.zeros(1, 1, 1, 1))
        bound = math.copysign(10.0, log_variance)
        expected = (math.log(2 * math.pi) + bound + distance**2 * math.exp(-bound)) / 2
        assert value.item() == pytest.approx(expected, rel=1e-6)
        value.backward()
        assert prediction.grad[0, 1, 0, 0] * log_variance > 0  # a step against it shrinks |log_variance|


@pytest.mark.parametrize('value', ['4', None, -1, 0, 1.5, True, float('nan'), [2]])
def test_numbers_of_classes_and_components_are_checked(value):
    with pytest.raises(ValueError, match='num_classes=.* of CrossEntropyLoss must be a whole number from 2'):
        CrossEntropyLoss(value)
    with pytest.raises(ValueError, match='num_components=.* of MixtureNLLLoss must be a whole number from 1'):
        MixtureNLLLoss(value)


@pytest.mark.parametrize('value', ['fixed', None, -1, 0, True, float('nan'), float('inf'), [1.0]])
def test_variances_and_smoothings_are_checked(value):
    with pytest.raises(ValueError, match="variance=.* of GaussianNLLLoss must be 'learned', or a number above 0"):
        GaussianNLLLoss(value)
    if value != 0:
        with pytest.raises(ValueError, match='label_smoothing=.* of CrossEntropyLoss must be a share from 0'):
            CrossEntropyLoss(4, label_smoothing=value)
    with pytest.raises(ValueError, match='label_smoothing=1 of'):
        CrossEntropyLoss(4, label_smoothing=1)


def test_the_base_class_estimates_what_one_number_says():
    """One number a channel is the estimate; of several, the subclass must say."""

    class Two(Loss):
        params_per_channel = 2

        def forward(self, prediction, target):
            return self.split(prediction).sum(2) - target

    prediction = torch.randn(1, 4, 2, 2)
    assert L1Loss().estimate(prediction) is prediction
    assert torch.equal(Two()(prediction, torch.zeros(1, 2, 2, 2))[:, 1], prediction[:, 2] + prediction[:, 3])
    with pytest.raises(NotImplementedError, match=r'Two predicts several numbers and must define estimate\(\)'):
        Two().estimate(prediction)
