"""The loss that tells pairs from the rest of a batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor

from simmim_mm.models.companions.gather import gather_processes


class Contrast(NamedTuple):
    """How well pairs are told from the rest.

    Attributes:
        loss: Scalar, with gradient; of this process's rows.
        accuracy: Scalar without gradient: the share of rows to which their own pair is the most similar.
    """

    loss: Tensor
    accuracy: Tensor


def nt_xent(projections: Tensor, temperature: float) -> Contrast:
    """InfoNCE in the form NT-Xent (SimCLR, equation 1 of arXiv 2002.05709), over the batches of all processes.

    For a row i and its pair j: ``-log(exp(s_ij / t) / sum_k exp(s_ik / t))`` with the cosine similarity s, where k runs
    over all rows but i itself: one pair and, with B images in each of P processes, 2BP - 2 negatives. The mean is over
    the rows of this process. Similarities are in fp32 (fp64 where the projections are), whatever the autocast.

    Args:
        projections: (2 B, E); the rows i and B + i are a pair. B must be the same in every process.
        temperature: ``t``, above 0.

    Returns:
        The loss and the accuracy.

    Raises:
        ValueError: If there is no other image in the batch.
    """
    num_rows = projections.shape[0]
    if num_rows * dist.get_world_size() <= 2:
        raise ValueError(
            'ContrastiveCompanion compares an image with the others of the batch, but there is 1 image in it; set '
            'train_dataloader.batch_size to 2 or more'
        )
    with torch.autocast(projections.device.type, enabled=False):
        exact = projections.to(torch.promote_types(projections.dtype, torch.float32))
        anchors = F.normalize(exact, dim=1)
        keys = gather_processes(anchors)
        rows = torch.arange(num_rows, device=anchors.device)
        first = dist.get_rank() * num_rows  # of this process among the keys
        pairs = first + (rows + num_rows // 2) % num_rows
        itself = (first + rows).unsqueeze(1)
        logits = (anchors @ keys.T / temperature).scatter(1, itself, float('-inf'))
        loss = F.cross_entropy(logits, pairs)
        accuracy = (logits.detach().argmax(dim=1) == pairs).float().mean()
    return Contrast(loss, accuracy)
