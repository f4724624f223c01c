"""Pictures of attention."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from simmim_mm.analysis.attention import LayerAttention
from simmim_mm.analysis.attention_distance import LayerDistance
from simmim_mm.visualization.panels import HEADING, label_columns, label_rows, tile

# Layers, and heads, that a picture shows at most: spread over all.
MOST = 8
# How much of the picture below the colours of a map is seen.
SEEN = 0.35
MARK = (255, 255, 255)


def spread(number: int, most: int = MOST) -> list[int]:
    """Positions spread evenly over a list, its first and last among them.

    Args:
        number: Length of the list.
        most: Of the positions.
    """
    return sorted({round(place) for place in np.linspace(0, number - 1, min(most, number))})


def received(layer: LayerAttention) -> Tensor:
    """How much each cell is looked at, as a mean over the heads and over all that may look at it.

    Args:
        layer: The attention.

    Returns:
        (B, h, w)
    """
    # Of each key: what queries that may see it give it, against what they would if they looked at all alike.
    number = layer.allowed.sum(dim=-1).clamp(min=1)  # (n, M), what each query may look at
    weights = (layer.between_cells() * number[None, :, None, :, None]).mean(dim=2)  # (B, n, M, M)
    looks = weights.sum(dim=2) / layer.allowed.sum(dim=1).clamp(min=1)
    return _to_map(layer, looks)


def looked_at(layer: LayerAttention, place: tuple[int, int]) -> Tensor:
    """Where a cell looks.

    Args:
        layer: The attention.
        place: Row and column of the cell in the layer's map.

    Returns:
        (B, heads, h, w), shares that sum to 1.
    """
    window, token = (
        ((layer.places == torch.tensor(place, device=layer.places.device)).all(dim=-1)).nonzero()[0].tolist()
    )
    weights = layer.between_cells()
    looks = torch.zeros_like(weights[:, :, :, 0])  # (B, n, heads, M)
    looks[:, window] = weights[:, window, :, token]
    return torch.stack([_to_map(layer, looks[:, :, head]) for head in range(looks.shape[2])], dim=1)


def _to_map(layer: LayerAttention, values: Tensor) -> Tensor:
    """(B, n, M), a value a cell, to (B, h, w)."""
    height, width = layer.grid_hw
    inside = (layer.places[..., 0] < height) & (layer.places[..., 1] < width)
    maps = values.new_zeros(len(values), height * width)
    places = layer.places[inside]
    maps[:, places[:, 0] * width + places[:, 1]] = values[:, inside]
    return maps.unflatten(1, (height, width))


def draw_received(pictures: np.ndarray, layers: Sequence[LayerAttention]) -> np.ndarray:
    """A row an image: the image, and what some of the layers look at.

    Args:
        pictures: (B, H, W, 3) uint8.
        layers: The attention of all layers to these images.

    Returns:
        (height, width, 3) uint8.
    """
    chosen = spread(len(layers))
    maps = [received(layers[number]).cpu().numpy() for number in chosen]
    rows = [
        np.stack([picture, *(overlay(picture, layer[row]) for layer in maps)]) for row, picture in enumerate(pictures)
    ]
    return label_columns(tile(np.stack(rows)), ['image', *(f'layer {number + 1}' for number in chosen)])


def draw_heads(picture: np.ndarray, layers: Sequence[LayerAttention], row: int = 0) -> np.ndarray:
    """Where the cell in the middle of an image looks: a row a layer, a column a head.

    Args:
        picture: (H, W, 3) uint8.
        layers: The attention of all layers.
        row: Of the image, in the layers.

    Returns:
        (height, width, 3) uint8; the cell is marked by a frame.
    """
    chosen = spread(len(layers))
    most = min(MOST, max(layers[number].weights.shape[2] for number in chosen))
    rows, labels = [], []
    for number in chosen:
        layer = layers[number]
        place = (layer.grid_hw[0] // 2, layer.grid_hw[1] // 2)
        maps = looked_at(layer, place)[row].cpu().numpy()
        shown = [_framed(overlay(picture, maps[head]), place, layer.stride) for head in spread(len(maps), most)]
        empty = [np.full_like(picture, 255)] * (most - len(shown))
        rows.append(np.stack([picture, *shown, *empty]))
        labels.append(f'layer {number + 1}')
    heads = [f'head {number + 1}' for number in range(most)]
    if any(layers[number].weights.shape[2] > most for number in chosen):
        heads = ['heads, spread', *[''] * (most - 1)]
    return label_rows(label_columns(tile(np.stack(rows)), ['image', *heads]), labels, HEADING)


def overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a map over a picture in colours, its largest value the brightest.

    Args:
        picture: (H, W, 3) uint8.
        heat: (h, w), from 0.

    Returns:
        (H, W, 3) uint8.
    """
    from matplotlib import colormaps  # takes half a second

    share = np.asarray(heat, dtype=np.float64)
    top = float(share.max())
    colours = np.asarray(colormaps['inferno'](share / top if top > 0 else share))[..., :3]
    colours = (255 * colours).round().astype(np.uint8)
    size = picture.shape[1::-1]
    spread_out = np.asarray(Image.fromarray(colours).resize(size, Image.Resampling.NEAREST), dtype=np.float32)
    grey = np.asarray(Image.fromarray(picture).convert('L'), dtype=np.float32)[..., None]
    return (SEEN * grey + (1 - SEEN) * spread_out).round().astype(np.uint8)


def _framed(picture: np.ndarray, place: tuple[int, int], stride: tuple[float, float]) -> np.ndarray:
    top, left = (round(place[axis] * stride[axis]) for axis in range(2))
    bottom, right = (round((place[axis] + 1) * stride[axis]) - 1 for axis in range(2))
    framed = picture.copy()
    framed[top : bottom + 1, [left, right]] = MARK
    framed[[top, bottom], left : right + 1] = MARK
    return framed


def plot_distances(distances: Sequence[LayerDistance], path: str, image_hw: Sequence[int]) -> str:
    """Plots the mean attention distance of each head of each layer.

    Args:
        distances: Of all layers.
        path: File to write.
        image_hw: (H, W) of the images in pixels, for the title.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure  # takes half a second, and needs no display this way

    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.subplots()
    numbers = np.arange(1, len(distances) + 1)
    for number, layer in enumerate(distances, start=1):
        axes.scatter(
            [number] * len(layer.heads), layer.heads, s=18, color='C0', alpha=0.7, label='head' if number == 1 else None
        )
    axes.plot(numbers, [np.mean(layer.heads) for layer in distances], color='C0', linewidth=1, label='mean of a layer')
    axes.plot(
        numbers, [layer.uniform for layer in distances], '--', color='0.5', linewidth=1, label='uniform attention'
    )
    for border, (first, second) in enumerate(pairwise(distances), start=1):
        if first.grid_hw != second.grid_hw:
            axes.axvline(border + 0.5, color='0.85', linewidth=1, zorder=0)
    top = max(max(*layer.heads, layer.uniform) for layer in distances)
    axes.set(xlabel='layer', ylabel='mean attention distance in pixels', ylim=(0, 1.15 * top))
    axes.set_title(f'images of {image_hw[0]}x{image_hw[1]} pixels', fontsize=10)
    axes.set_xticks(numbers if len(numbers) <= 24 else numbers[:: -(-len(numbers) // 24)])
    axes.grid(alpha=0.3, axis='y')
    axes.legend(fontsize=8)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    figure.savefig(path, dpi=100)
    return path
