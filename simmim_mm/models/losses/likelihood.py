"""How improbable the true number is, under a distribution that the decoder predicts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from simmim_mm.models.losses.base import Loss
from simmim_mm.options import check_whole, is_number
from simmim_mm.registry import MODELS

LOG_2_PI = math.log(2 * math.pi)

# Log-variances are held between plus and minus this: deviations from 0.0067 to 148, when pixels have a deviation of 1
# and a grey level is 0.017. Otherwise, the likelihood of one flat patch that is predicted exactly would be unbounded.
LOG_VARIANCE_LIMIT = 10.0


def bounded(values: Tensor, limit: float) -> Tensor:
    """Holds values between ``-limit`` and ``limit``, with the gradient of the identity.

    With the gradient of a clamp, a value that has once left the bounds would never come back.
    """
    return values + (values.clamp(-limit, limit) - values).detach()


@MODELS.register_module()
class GaussianNLLLoss(Loss):
    """Negative log likelihood of a Gaussian: ``(log(2 * pi * variance) + d**2 / variance) / 2``.

    With the variance learned, the decoder predicts two numbers a channel: the mean and the logarithm of the variance,
    which is held between -10 and 10. With a fixed one, this is a squared difference of another scale and origin.

    Args:
        variance: ``'learned'``, or a number above 0, in squared units of the target.

    Raises:
        ValueError: If the variance is something else.
    """

    def __init__(self, variance: float | str = 'learned') -> None:
        super().__init__()
        if variance != 'learned' and (not is_number(variance) or variance <= 0):  # type: ignore[operator]
            raise ValueError(f"variance={variance!r} of GaussianNLLLoss must be 'learned', or a number above 0")
        self.variance = variance
        self.params_per_channel = 2 if variance == 'learned' else 1

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scores numbers (N, C, s, s) under predictions (N, C * P, s, s), in nats; may be negative."""
        if isinstance(self.variance, str):
            mean, log_variance = self.split(prediction).unbind(dim=2)
            log_variance = bounded(log_variance, LOG_VARIANCE_LIMIT)
            return 0.5 * (LOG_2_PI + log_variance + (target - mean).square() * torch.exp(-log_variance))
        return 0.5 * (LOG_2_PI + math.log(self.variance) + (target - prediction).square() / self.variance)

    def estimate(self, prediction: Tensor) -> Tensor:
        """The mean: (B, C, h, w)."""
        return self.split(prediction)[:, :, 0]


@MODELS.register_module()
class MixtureNLLLoss(Loss):
    """Negative log likelihood of a mixture of Gaussians, for each channel of a position by itself.

    The decoder predicts ``3 * num_components`` numbers a channel: logits of the weights, then means, then logarithms of
    the deviations, which are held between -5 and 5.

    Args:
        num_components: Gaussians in a mixture.

    Raises:
        ValueError: If the number is no whole one from 1.
    """

    def __init__(self, num_components: int = 5) -> None:
        super().__init__()
        self.num_components = check_whole(num_components, 'num_components', 'MixtureNLLLoss')
        self.params_per_channel = 3 * num_components

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scores numbers (N, C, s, s) under predictions (N, C * 3 * K, s, s), in nats; may be negative."""
        logits, means, log_scales = self.split(prediction).chunk(3, dim=2)
        log_scales = bounded(log_scales, LOG_VARIANCE_LIMIT / 2)
        distance = (target.unsqueeze(2) - means) * torch.exp(-log_scales)
        log_densities = -0.5 * (LOG_2_PI + distance.square()) - log_scales
        return -torch.logsumexp(F.log_softmax(logits, dim=2) + log_densities, dim=2)

    def estimate(self, prediction: Tensor) -> Tensor:
        """The mean of the mixture: (B, C, h, w)."""
        logits, means, _ = self.split(prediction).chunk(3, dim=2)
        return (logits.softmax(dim=2) * means).sum(dim=2)
