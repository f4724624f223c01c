"""Photographs with painted objects, of which every pixel's class and instance is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from simmim_mm.demo.patterns import paint_pattern

# Outlines are drawn this much larger, then averaged, for edges without steps.
SUPERSAMPLING = 4
# Share of an object that others must leave visible for it to count.
MIN_VISIBLE = 0.6
MAX_TRIES = 20
# Mean difference of an object's two colours, of 255.
MIN_CONTRAST = 60
# Objects stand upright, but for this angle at most either way, in radians.
MAX_TURN = 0.3
# Side of the part of a photograph that becomes the background, as a share of the largest that fits: smooth enough for
# objects to stand out.
ZOOM = (0.08, 0.3)

Points = list[tuple[float, float]]


class Scene(NamedTuple):
    """An image and what is in it.

    Attributes:
        image: (H, W, 3), uint8.
        classes: Index into ``CLASSES`` of each of K objects.
        masks: (K, H, W), bool: the pixels that are seen of each. No pixel belongs to two.
    """

    image: np.ndarray
    classes: list[int]
    masks: np.ndarray


def _regular(corners: int, inner: float | None = None, first: float = -math.pi / 2) -> Points:
    """A polygon within the unit circle, or a star whose notches are ``inner`` away from the middle.

    The first corner is at an angle of ``first``: straight up.
    """
    radii = [1.0] if inner is None else [1.0, inner]
    count = corners * len(radii)
    angles = [first + 2 * math.pi * index / count for index in range(count)]
    return [
        (radii[index % len(radii)] * math.cos(angle), radii[index % len(radii)] * math.sin(angle))
        for index, angle in enumerate(angles)
    ]


def _cross() -> Points:
    arm, wide = 0.95, 0.32
    quarter = [(arm, -wide), (arm, wide), (wide, wide)]
    turned = []
    for _ in range(4):
        turned += quarter
        quarter = [(-y, x) for x, y in quarter]
    return turned


def _half_disc() -> Points:
    return [(math.cos(angle), math.sin(angle) - 0.4) for angle in np.linspace(0, math.pi, 24)]


# Class -> outline within the unit circle, and the outline of its hole.
OUTLINES: dict[str, Callable[[], tuple[Points, Points]]] = {
    'disc': lambda: (_regular(40), []),
    'ring': lambda: (_regular(40), [(0.55 * x, 0.55 * y) for x, y in _regular(40)]),
    'square': lambda: (_regular(4, first=math.pi / 4), []),
    'triangle': lambda: (_regular(3), []),
    'star': lambda: (_regular(5, inner=0.42), []),
    'cross': lambda: (_cross(), []),
    'hexagon': lambda: (_regular(6), []),
    'half_disc': lambda: (_half_disc(), []),
}
CLASSES = tuple(OUTLINES)


def object_mask(
    name: str, size: tuple[int, int], centre: tuple[float, float], radius: float, turn: float
) -> np.ndarray:
    """How much of each pixel an object covers.

    Args:
        name: Of ``CLASSES``.
        size: H and W of the image.
        centre: x and y of the middle, in pixels.
        radius: Of the circle around it, in pixels.
        turn: Angle, in radians.

    Returns:
        (H, W), 0 to 1.
    """
    height, width = size
    canvas = Image.new('L', (width * SUPERSAMPLING, height * SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    cosine, sine = math.cos(turn), math.sin(turn)
    for points, value in zip(OUTLINES[name](), (255, 0), strict=True):
        if points:
            placed = [
                (
                    SUPERSAMPLING * (centre[0] + radius * (cosine * x - sine * y)),
                    SUPERSAMPLING * (centre[1] + radius * (sine * x + cosine * y)),
                )
                for x, y in points
            ]
            draw.polygon(placed, fill=value)
    blocks = np.asarray(canvas, dtype=np.float64).reshape(height, SUPERSAMPLING, width, SUPERSAMPLING)
    return blocks.mean(axis=(1, 3)) / 255


def paint_scene(
    photographs: Sequence[Image.Image],
    size: tuple[int, int],
    classes: Sequence[int],
    rng: np.random.Generator,
    radii: tuple[float, float] = (0.14, 0.27),
) -> Scene:
    """Paints objects on a crop of a photograph.

    An object has the outline and the pattern of its class, in two random colours: colour does not tell its class. One
    that would hide too much of another, or find no place, is left out.

    Args:
        photographs: To choose from.
        size: H and W of the image.
        classes: Index into ``CLASSES`` of each object.
        rng: Source of all that is random.
        radii: Smallest and largest radius, as a share of the shorter side.

    Returns:
        The scene.
    """
    image = _random_crop(photographs, size, rng)
    shorter = min(size)
    painted: list[int] = []
    masks: list[np.ndarray] = []
    areas: list[int] = []
    for kind in classes:
        for _ in range(MAX_TRIES):
            radius = shorter * rng.uniform(*radii)
            # A sixth of the radius may stand out of the image.
            centre = tuple(rng.uniform(0.85 * radius, side - 0.85 * radius) for side in size[::-1])
            cover = object_mask(CLASSES[kind], size, (centre[0], centre[1]), radius, rng.uniform(-MAX_TURN, MAX_TURN))
            mask = cover >= 0.5
            seen = [(other & ~mask).sum() for other in masks]
            if all(count >= MIN_VISIBLE * area for count, area in zip(seen, areas, strict=True)):
                break
        else:
            continue
        pattern = paint_pattern(kind, size, (centre[0], centre[1]), rng)[..., None]
        first, second = _two_colours(rng)
        filling = first + pattern * (second - first)
        image = image + cover[..., None] * (filling - image)
        masks = [other & ~mask for other in masks] + [mask]
        areas.append(int(mask.sum()))
        painted.append(int(kind))
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return Scene(pixels, painted, np.stack(masks) if masks else np.zeros((0, *size), dtype=bool))


def _two_colours(rng: np.random.Generator) -> np.ndarray:
    """(2, 3), 0 to 255: two that can be told apart."""
    while True:
        colours = rng.uniform(0, 255, size=(2, 3))
        if np.abs(colours[0] - colours[1]).mean() > MIN_CONTRAST:
            return colours


def _random_crop(photographs: Sequence[Image.Image], size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A small part of a photograph, flipped or not, at the wanted size."""
    photograph = photographs[int(rng.integers(len(photographs)))]
    height, width = size
    scale = rng.uniform(*ZOOM) * min(photograph.height / height, photograph.width / width)
    crop = (max(1, int(width * scale)), max(1, int(height * scale)))
    left = int(rng.integers(photograph.width - crop[0] + 1))
    top = int(rng.integers(photograph.height - crop[1] + 1))
    box = (left, top, left + crop[0], top + crop[1])
    pixels = np.asarray(photograph.resize((width, height), Image.Resampling.BILINEAR, box=box), dtype=np.float64)
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels
