"""Histograms of oriented gradients."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from simmim_mm.models.targets.base import Target, widen
from simmim_mm.options import check_whole
from simmim_mm.registry import MODELS

NORMS = ('L1', 'L1-sqrt', 'L2', 'L2-Hys')
# As in scikit-image: keeps flat cells finite, and is where L2-Hys cuts off.
EPSILON = 1e-5
CUT = 0.2


@MODELS.register_module()
class HOGTarget(Target):
    """Histograms of gradient directions in square cells (Dalal and Triggs 2005; MaskFeat, arXiv 2112.09133).

    Equal to scikit-image's ``hog`` with ``cells_per_block=(1, 1)``: central differences, 0 at the edges of the image;
    unsigned directions in equal bins over 180 degrees; magnitudes summed over a cell, over its number of pixels; each
    cell's histogram normalised by itself. Gradients are those of the normalised images that the model sees, as they
    are: how channels compare with each other then depends on the preprocessor's ``std``.

    Args:
        image_channels: Channels of the images. SimMIM finds it out.
        orientations: Bins of a histogram.
        cell_size: Pixels per side of a cell, which is a position of the target. Must divide the encoder's stride.
        norm: ``'L2'``, ``'L1'``, ``'L1-sqrt'`` or ``'L2-Hys'``, scikit-image's ``block_norm``.
        channel: ``'each'`` for a histogram of every channel, one after the other, as in MaskFeat; ``'max'`` for one
            histogram of, at each pixel, the channel with the largest gradient, as scikit-image does for colour images.

    Raises:
        ValueError: If an argument is out of range.
    """

    shows_images = False
    stride_setting = 'cell_size'

    def __init__(
        self,
        image_channels: int,
        orientations: int = 9,
        cell_size: int = 8,
        norm: str = 'L2',
        channel: str = 'each',
    ) -> None:
        super().__init__()
        check_whole(image_channels, 'image_channels', 'HOGTarget')
        self.orientations = check_whole(orientations, 'orientations', 'HOGTarget', smallest=2)
        self.stride = check_whole(cell_size, 'cell_size', 'HOGTarget', smallest=2)
        if norm not in NORMS:
            raise ValueError(f'norm={norm!r} of HOGTarget is unknown; use one of {", ".join(map(repr, NORMS))}')
        if channel not in ('each', 'max'):
            raise ValueError(f"channel={channel!r} of HOGTarget is unknown; use 'each' or 'max'")
        self.norm = norm
        self.channel = channel
        self.histograms = image_channels if channel == 'each' else 1
        self.channels = orientations * self.histograms

    def forward(self, images: Tensor) -> Tensor:
        """Histograms (B, channels, H / cell_size, W / cell_size) of images (B, C, H, W)."""
        rows, columns = gradients(images)
        rounding = gradient_rounding(images)
        if self.channel == 'max':
            magnitude = torch.hypot(rows, columns)
            # The first of those that are equal but for rounding, as scikit-image takes it.
            most = (magnitude - rounding).amax(dim=1, keepdim=True)
            strongest = (magnitude + rounding >= most).int().argmax(dim=1, keepdim=True)
            rows, columns, rounding = (each.gather(1, strongest) for each in (rows, columns, rounding))
        histograms = direction_histograms(rows, columns, rounding, self.orientations, self.stride)  # (B, C, n, h, w)
        return normalise(histograms, self.norm).flatten(1, 2)

    def to_pictures(self, maps: Tensor, images: Tensor) -> Tensor:
        """Draws each cell's bins as strokes along the edges that they stand for.

        Of one channel or three, strokes have the channels' colours; of other numbers, they are grey.

        Args:
            maps: (B, channels, h, w)
            images: Not needed.

        Returns:
            (B, 3, H, W), 0 to 1.
        """
        histograms = maps.float().clamp(min=0).unflatten(1, (self.histograms, self.orientations))
        if self.histograms not in (1, 3):
            histograms = histograms.mean(dim=1, keepdim=True)
        strokes = edge_strokes(self.orientations, self.stride).to(maps.device)
        drawn = torch.einsum('bcnhw,nyx->bchywx', histograms, strokes).flatten(4, 5).flatten(2, 3)
        # Histograms of the L1 norm sum to 1, so that a single bin is faint.
        drawn = drawn * (3.0 if self.norm == 'L1' else 1.0)
        return drawn.clamp(max=1).expand(-1, 3, -1, -1)


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of the next and the previous pixel, down the rows and along the columns; 0 at the edges.

    Args:
        images: (B, C, H, W)

    Returns:
        Two tensors (B, C, H, W).
    """
    rows = F.pad(images[..., 2:, :] - images[..., :-2, :], (0, 0, 1, 1))
    columns = F.pad(images[..., 2:] - images[..., :-2], (1, 1))
    return rows, columns


def gradient_rounding(images: Tensor) -> Tensor:
    """How far the two gradients of a pixel can be from equal when those of the stored image are.

    Each normalised pixel has been rounded twice, by half a unit in its last place, and each difference once.

    Args:
        images: (B, C, H, W)

    Returns:
        (B, C, H, W)
    """
    sizes = F.pad(images.abs(), (1, 1, 1, 1))
    around = sizes[..., 2:, 1:-1] + sizes[..., :-2, 1:-1] + sizes[..., 1:-1, 2:] + sizes[..., 1:-1, :-2]
    return around * (2 * torch.finfo(images.dtype).eps)


def direction_histograms(rows: Tensor, columns: Tensor, rounding: Tensor, orientations: int, cell_size: int) -> Tensor:
    """Sums gradient magnitudes by direction over square cells, over the number of pixels of a cell.

    Args:
        rows: (B, C, H, W), gradient down the rows.
        columns: (B, C, H, W), gradient along the columns.
        rounding: (B, C, H, W), difference of their sizes up to which they are taken as equal.
        orientations: Bins over 180 degrees.
        cell_size: Pixels per side of a cell; must divide H and W.

    Returns:
        (B, C, orientations, H / cell_size, W / cell_size)
    """
    # In float64, for what lies next to a bound.
    down, along = widen(rows), widen(columns)
    # Directions between whole numbers meet bounds at multiples of 45 degrees alone, as all other bounds have irrational
    # tangents. Many pixels of 8-bit images lie on the diagonals but for the rounding of the normalisation, which would
    # put them into either bin.
    down = torch.where((down.abs() - along.abs()).abs() <= rounding, along.abs() * down.sign(), down)
    angle = torch.atan2(down, along)
    angle = torch.where(angle < 0, angle + math.pi, angle)
    # The nudge lets an angle that is a bound, but for the rounding of atan2, fall into the upper bin. Exactly level
    # gradients are in the first bin, whichever of 0 and 180 degrees atan2 made of them.
    nudge = 4 * torch.finfo(angle.dtype).eps * orientations
    position = (angle * (orientations / math.pi) + nudge).floor().clamp(max=orientations - 1)
    position = torch.where(down == 0, 0, position)
    magnitude = torch.hypot(rows, columns)
    return torch.stack(
        [F.avg_pool2d(torch.where(position == number, magnitude, 0), cell_size) for number in range(orientations)],
        dim=2,
    )


def normalise(histograms: Tensor, norm: str) -> Tensor:
    """Normalises each histogram by itself.

    Args:
        histograms: (B, C, n, h, w), normalised over n.
        norm: One of :data:`NORMS`.

    Returns:
        (B, C, n, h, w)
    """
    if norm.startswith('L1'):
        shares = histograms / (histograms.sum(dim=2, keepdim=True) + EPSILON)
        return shares.sqrt() if norm == 'L1-sqrt' else shares

    def unit(values: Tensor) -> Tensor:
        return values / (values.square().sum(dim=2, keepdim=True) + EPSILON**2).sqrt()

    return unit(unit(histograms).clamp(max=CUT)) if norm == 'L2-Hys' else unit(histograms)


def edge_strokes(orientations: int, size: int) -> Tensor:
    """A stroke for each bin, through the middle of a cell and at right angles to the bin's gradient.

    Args:
        orientations: Bins over 180 degrees.
        size: Pixels per side of a cell.

    Returns:
        (orientations, size, size), 0 to 1, smooth at the edges of a stroke.
    """
    angle = (torch.arange(orientations) + 0.5) * (math.pi / orientations)
    place = torch.arange(size) - (size - 1) / 2
    # Distance of a pixel from the line through the middle whose normal has the angle of the gradient.
    along = angle.cos().view(-1, 1, 1) * place + angle.sin().view(-1, 1, 1) * place.view(-1, 1)
    inside = (place.square() + place.square().view(-1, 1)).sqrt() <= size / 2
    return (1 - along.abs()).clamp(min=0) * inside
