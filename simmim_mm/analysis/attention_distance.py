"""How far attention looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from simmim_mm.analysis.attention import LayerAttention


class LayerDistance(NamedTuple):
    """How far the heads of a layer look, in pixels of the image.

    Attributes:
        name: Of the module in the encoder.
        grid_hw: (h, w) of the layer's map.
        heads: Mean attention distance of each head.
        uniform: What it would be, if each query looked at all that it may look at alike.
    """

    name: str
    grid_hw: tuple[int, int]
    heads: list[float]
    uniform: float


def attention_distance(layer: LayerAttention) -> Tensor:
    """Mean attention distance of each image and head.

    The distance between the centres of a query's cell and a key's, averaged with the weights of the attention, then
    over the queries: figure 7 of the paper of ViT, https://arxiv.org/abs/2010.11929. Tokens that stand for no cell are
    left out, as queries and as keys.

    Args:
        layer: The attention.

    Returns:
        (B, heads), in pixels.
    """
    return _mean_over_queries(layer, layer.between_cells())


def uniform_distance(layer: LayerAttention) -> float:
    """The distance of a head that looks at everything alike, in pixels.

    Args:
        layer: The attention, whose weights do not matter.
    """
    shares = layer.allowed / layer.allowed.sum(dim=-1, keepdim=True).clamp(min=1)
    return _mean_over_queries(layer, shares[None, :, None]).item()


def distances_of_layers(layers: Sequence[LayerAttention], batches: Sequence[Sequence[Tensor]]) -> list[LayerDistance]:
    """Averages over images.

    Args:
        layers: The attention of all layers to any images of the same size.
        batches: For each batch of images what :func:`attention_distance` says of each layer.
    """
    means = [torch.cat(heads).mean(dim=0).tolist() for heads in zip(*batches, strict=True)]
    return [
        LayerDistance(layer.name, layer.grid_hw, heads, uniform_distance(layer))
        for layer, heads in zip(layers, means, strict=True)
    ]


def _mean_over_queries(layer: LayerAttention, shares: Tensor) -> Tensor:
    """(B, n, heads, M, M) to (B, heads): the mean over all queries that are cells of the image."""
    places = layer.places.double() * torch.tensor(layer.stride, dtype=torch.float64, device=layer.places.device)
    distances = torch.linalg.vector_norm(places[:, :, None] - places[:, None], dim=-1)  # (n, M, M)
    of_queries = (shares.double() * distances[None, :, None]).sum(dim=-1)  # (B, n, heads, M)
    return of_queries.sum(dim=(1, 3)) / layer.allowed.any(dim=-1).sum()
