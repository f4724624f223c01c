"""Colours as labels, all channels together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from simmim_mm.models.targets.base import Target, enlarge, shrink
from simmim_mm.models.targets.cluster_file import load_clusters
from simmim_mm.models.targets.pixel_range import PixelRange, check_raw_range
from simmim_mm.options import check_whole
from simmim_mm.registry import MODELS

# Distances that are in memory at a time: 256 MiB in fp32.
CHUNK = 2**26


@MODELS.register_module()
class ColorClusterTarget(Target):
    """The nearest of k colours (table 5 of arXiv 2111.09886; iGPT's palette is such a set too).

    The colours are the centres of a k-means over pixels of the training images, made by ``tools/cluster_colours.py``.
    Distances are Euclidean, over all channels, each in shares of its range of values.

    The colours are in checkpoints: a model belongs to the colours that it was trained with, so those of a checkpoint
    that is loaded take the place of the file's, and a warning says so where they differ.

    Args:
        image_channels: Channels of the images. SimMIM finds out this one, the next and ``raw_range``.
        pixel_range: Lowest and highest pixel value of each channel, normalised.
        clusters: File that the tool wrote.
        stride: Pixels per side of a position; means over squares are labelled where it is above 1. Must divide the
            encoder's stride.
        raw_range: Lowest and highest pixel value before the normalisation, to compare with the file's; None if it is
            not known.

    Raises:
        FileNotFoundError: If there is no such file, with the command that makes it.
        ValueError: If an argument is out of range, or the file is of images of other channels or values.
    """

    centres: Tensor

    def __init__(
        self,
        image_channels: int,
        pixel_range: Sequence[Sequence[float]] | None = None,
        clusters: str = '',
        stride: int = 1,
        raw_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        check_whole(image_channels, 'image_channels', 'ColorClusterTarget')
        self.stride = check_whole(stride, 'stride', 'ColorClusterTarget')
        self.pixels = PixelRange(pixel_range, image_channels, 'ColorClusterTarget')
        loaded = load_clusters(clusters)
        if loaded.centres.shape[1] != image_channels:
            raise ValueError(
                f'the colours in {clusters!r} have {loaded.centres.shape[1]} channels, and the images '
                f'{image_channels}; make others of these images: python tools/cluster_colours.py CONFIG --out FILE'
            )
        _check_values(loaded.value_range, check_raw_range(raw_range, 'ColorClusterTarget'), clusters)
        low, high = loaded.value_range
        self.file = clusters
        self.channels = 1
        self.num_classes = len(loaded.centres)
        self.register_buffer('centres', torch.tensor((loaded.centres - low) / (high - low), dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """Labels (B, 1, H / stride, W / stride) int64 of normalised images (B, C, H, W)."""
        colours = self.pixels.to_share(shrink(images, self.stride)).movedim(1, -1)  # (B, h, w, C)
        return nearest(colours.flatten(0, 2), self.centres).view(colours.shape[:-1]).unsqueeze(1)

    def to_images(self, estimate: Tensor, images: Tensor) -> Tensor:
        """The colours of labels: (B, 1, h, w) becomes normalised images (B, C, H, W)."""
        colours = self.centres[estimate.squeeze(1)].movedim(-1, 1).to(images.dtype)
        return enlarge(self.pixels.from_share(colours), self.stride)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        theirs = state_dict.get(f'{prefix}centres')
        if (
            isinstance(theirs, Tensor)
            and theirs.shape == self.centres.shape
            and not self.centres.is_meta
            and not torch.allclose(theirs.to(self.centres), self.centres, atol=1e-6)
        ):
            print_log(
                f'The checkpoint was trained with other colours than those in {self.file!r}; its own are used.',
                logger='current',
                level=logging.WARNING,
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check_values(found: np.ndarray, raw_range: tuple[float, float] | None, clusters: str) -> None:
    """Refuses colours in other units: as shares of their range, they would stand for other colours."""
    if raw_range is None:
        return
    wanted = np.array(raw_range).reshape(2, 1)
    # The file's numbers have been normalised and back, in fp32.
    if (np.abs(found - wanted) > 1e-4 * (raw_range[1] - raw_range[0])).any():
        low, high = found.min(axis=1)[0], found.max(axis=1)[1]
        raise ValueError(
            f'the colours in {clusters!r} are of pixel values from {low:g} to {high:g}, and those of the model are '
            f'from {raw_range[0]:g} to {raw_range[1]:g} (value_range of data_preprocessor); make others of these '
            'images: python tools/cluster_colours.py CONFIG --data-root FOLDER --out FILE'
        )


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of each point; the first of equally near ones.

    Works through the points in pieces, as a matrix of all distances would not fit in memory.

    Args:
        points: (N, C)
        centres: (k, C)

    Returns:
        (N,) int64, from 0 to k - 1.
    """
    # Around 0, the squares below are smallest, and so is their rounding.
    origin = centres.mean(dim=0)
    points, centres = points - origin, centres - origin
    # A product of matrices, which autocast would round to 8 bits of precision.
    with torch.autocast(points.device.type, enabled=False):
        offset = centres.square().sum(dim=1)
        pieces = points.split(max(1, CHUNK // len(centres)))
        # |p - c|^2 without |p|^2, which is the same for all centres.
        return torch.cat([torch.addmm(offset, piece, centres.T, alpha=-2).argmin(dim=1) for piece in pieces])
