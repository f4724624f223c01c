"""Scores of cells by content, and sampling by score."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

# Keeps the logarithm and the phase of absent frequencies finite; the grey values are of the order of 1.
TINY = 1e-8


def spectral_residual(grey: np.ndarray, sigma: float = 2.5) -> np.ndarray:
    """Saliency as the spectral residual (Hou and Zhang, CVPR 2007, doi 10.1109/CVPR.2007.383267, section 2).

    With A and P the amplitude and phase of the Fourier transform, and L = log A, the saliency is the smoothed
    ``|IFFT(exp(L - mean3x3(L) + i P))| ** 2``: the part of the spectrum that its neighbours do not predict. The paper
    applies it to images of about 64 pixels a side.

    Args:
        grey: (H, W), numbers of any unit and range.
        sigma: Of the Gaussian that smooths the result, in pixels.

    Returns:
        (H, W) float64, not negative; the same everywhere for an even image.
    """
    grey = np.asarray(grey, dtype=np.float64)
    grey = grey / max(float(np.abs(grey).max()), 1e-30)  # a factor of the image is no residual
    spectrum = np.fft.fft2(grey)
    amplitude = np.abs(spectrum)
    log_amplitude = np.log(amplitude + TINY)
    residual = log_amplitude - uniform_filter(log_amplitude, size=3, mode='nearest')
    phase = spectrum / (amplitude + TINY)
    return gaussian_filter(np.abs(np.fft.ifft2(np.exp(residual) * phase)) ** 2, sigma=sigma, mode='nearest')


def cell_means(values: np.ndarray, grid_hw: tuple[int, int]) -> np.ndarray:
    """Mean of a map over each cell of a grid.

    Args:
        values: (H, W), sides that are multiples of the grid's.
        grid_hw: (h, w)

    Returns:
        (h, w) float64.
    """
    (height, width), (h, w) = values.shape, grid_hw
    return values.astype(np.float64).reshape(h, height // h, w, width // w).mean(axis=(1, 3))


def standardise(scores: np.ndarray) -> np.ndarray:
    """Scores with mean 0 and standard deviation 1; zeros where they do not differ by more than rounding."""
    centred = scores - scores.mean()
    deviation = float(centred.std())
    return centred / deviation if deviation > 1e-6 * float(np.abs(scores).max()) else np.zeros_like(centred)


def cells_by_score(scores: np.ndarray, num_hidden: int, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Hides cells by score, without replacement.

    Cells are drawn one after the other, with probabilities proportional to ``exp(score / temperature)`` among those
    that are left: the ``num_hidden`` largest of ``score / temperature`` plus Gumbel noise (arXiv 1903.06059). At a
    temperature of 0 the highest scores are taken, and draws decide between equal ones.

    Args:
        scores: (h, w), finite.
        num_hidden: Exact number of hidden cells.
        temperature: From 0.
        rng: Source of randomness.

    Returns:
        (h, w) bool.
    """
    order = rng.permutation(scores.size)  # decides between equal ones
    keys = scores.flat[order]
    if temperature > 0:
        keys = keys / temperature + rng.gumbel(size=scores.size)
    mask = np.zeros(scores.shape, dtype=bool)
    mask.flat[order[np.argsort(-keys, kind='stable')[:num_hidden]]] = True
    return mask
