"""A linear classifier of frozen features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor


class LinearProbe(NamedTuple):
    """A fitted probe.

    Attributes:
        weight: (num_classes, D) float64, of standardised features.
        bias: (num_classes,) float64.
        mean: (D,) float64, of the features that it was fitted to.
        std: (D,) float64, likewise.
        converged: Whether the optimiser came to its end.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor
    converged: bool

    def classify(self, features: Tensor) -> Tensor:
        """The most likely class.

        Args:
            features: (M, D)

        Returns:
            (M,) int64
        """
        return (_standardise(features, self.mean, self.std) @ self.weight.T + self.bias).argmax(dim=1)


def fit_linear_probe(
    features: Tensor, labels: Tensor, c: float = 1.0, max_iters: int = 500, tolerance: float = 1e-5
) -> LinearProbe:
    """Fits a multinomial logistic regression by L-BFGS, to the optimum.

    Features are standardised first. What is minimised is the sum of the cross entropies times ``c``, and half the
    squared norm of the weights, without the biases: as ``LogisticRegression`` of scikit-learn. The problem is convex,
    so unlike a probe that is trained by gradient steps, the result depends on no rate, schedule or seed.

    Args:
        features: (N, D); the sums are computed in float64 on their device.
        labels: (N,) int64, from 0.
        c: Weight of the data against the regularisation, above 0.
        max_iters: Most iterations.
        tolerance: Largest entry of the gradient of the mean cross entropy at the end.

    Returns:
        The probe.
    """
    mean, std = features.double().mean(dim=0), features.double().std(dim=0, correction=0)
    x = _standardise(features, mean, std)
    num, width = x.shape
    num_classes = int(labels.max()) + 1
    rows = torch.arange(num, device=x.device)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = torch.from_numpy(flat).to(x.device).view(num_classes, width + 1)
        weight, bias = parameters[:, :-1], parameters[:, -1]
        log_share = (x @ weight.T + bias).log_softmax(dim=1)
        loss = -log_share[rows, labels].mean() + weight.square().sum() / (2 * c * num)
        slope = log_share.exp()
        slope[rows, labels] -= 1
        gradient = torch.empty_like(parameters)
        gradient[:, :-1] = slope.T @ x / num + weight / (c * num)
        gradient[:, -1] = slope.mean(dim=0)
        return loss.item(), gradient.flatten().cpu().numpy()

    found = minimize(
        objective,
        np.zeros(num_classes * (width + 1)),
        jac=True,
        method='L-BFGS-B',
        options=dict(maxiter=max_iters, maxfun=2 * max_iters, gtol=tolerance, ftol=0.0),
    )
    parameters = torch.from_numpy(found.x).to(x.device).view(num_classes, width + 1)
    # Where the loss cannot fall by a digit more, the line search ends without success: as near as float64 gets.
    converged = bool(found.success or (np.abs(found.jac).max() < 10 * tolerance))
    return LinearProbe(parameters[:, :-1], parameters[:, -1], mean, std, converged)


def _standardise(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Features of mean 0 and deviation 1; one that does not vary stays 0."""
    return (features.double() - mean) / torch.where(std > 0, std, 1.0)
