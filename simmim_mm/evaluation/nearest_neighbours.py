"""Classes by the nearest neighbours of features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Similarities that are held at once.
CHUNK = 2**26


def knn_classify(bank: Tensor, labels: Tensor, queries: Tensor, k: int = 20, temperature: float = 0.07) -> Tensor:
    """Votes of the nearest neighbours, weighted by similarity.

    Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination (arXiv 1805.01978, section 3.4),
    with the numbers of DINO (arXiv 2104.14294): the k neighbours of highest cosine similarity s vote with
    ``exp(s / temperature)``. The weights are a softmax here, which ranks classes alike and cannot overflow.

    Args:
        bank: (N, D) features whose classes are known.
        labels: (N,) int64, their classes, from 0.
        queries: (M, D) features.
        k: Number of neighbours; all, if there are fewer.
        temperature: Above 0; the lower, the more the nearest ones count.

    Returns:
        (M,) int64, a class each; of classes with equal votes the first one.
    """
    bank, queries = F.normalize(bank, dim=1), F.normalize(queries, dim=1)
    k = min(k, len(bank))
    num_classes = int(labels.max()) + 1
    predictions = [
        _vote(chunk @ bank.T, labels, k, temperature, num_classes)
        for chunk in queries.split(max(1, CHUNK // len(bank)))
    ]
    return torch.cat(predictions)


def _vote(similarity: Tensor, labels: Tensor, k: int, temperature: float, num_classes: int) -> Tensor:
    nearest, rows = similarity.topk(k, dim=1)
    weights = (nearest / temperature).softmax(dim=1)
    votes = weights.new_zeros(len(weights), num_classes).scatter_add_(1, labels[rows], weights)
    return votes.argmax(dim=1)
