"""How many directions features use: what can be known of them without labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# As in RankMe: what is added to each share, so that its logarithm is finite.
EPSILON = 1e-7


def rankme(features: Tensor) -> float:
    """Effective rank of features.

    Garrido et al., RankMe (arXiv 2210.02885): the exponential of the entropy of the singular values, divided by their
    sum. Features are not centred.

    Args:
        features: (N, D), finite.

    Returns:
        From 1, where all features are multiples of one, to min(N, D); NaN of features that are all 0.
    """
    values = torch.linalg.svdvals(features.double())
    share = values / values.sum() + EPSILON
    return float((-(share * share.log()).sum()).exp())


def feature_std(features: Tensor) -> float:
    """Deviation of features over images, in units of what evenly spread ones have.

    Chen and He, SimSiam (arXiv 2011.10566, section 4.1): features are brought to length 1; the standard deviation of
    each channel over the images is averaged over channels. It is 0 where all images have the same features, and
    1 / sqrt(D) where their directions are spread evenly; it is multiplied by sqrt(D) here.

    Args:
        features: (N, D)

    Returns:
        From 0 to about 1.
    """
    directions = F.normalize(features.double(), dim=1)
    return float(directions.std(dim=0, correction=0).mean() * features.shape[1] ** 0.5)
