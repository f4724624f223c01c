"""Patterns of painted objects, by the symmetries that tell them apart."""

from __future__ import annotations

import numpy as np
import pytest

from simmim_mm.demo.patterns import PATTERNS, paint_pattern
from simmim_mm.demo.shapes import CLASSES

GRID = np.mgrid[-4:4:0.05, -4:4:0.05][::-1]
NAMES = [pattern.__name__.strip('_') for pattern in PATTERNS]


def draw(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return PATTERNS[NAMES.index(name)](x, y, np.random.default_rng(0))


def moved(name: str, dx: float, dy: float) -> float:
    """Mean difference to the same pattern elsewhere."""
    x, y = GRID
    return np.abs(draw(name, x + dx, y + dy) - draw(name, x, y)).mean()


def test_every_class_has_one():
    assert len(PATTERNS) == len(set(NAMES)) == len(CLASSES)


@pytest.mark.parametrize(
    ('name', 'steps', 'others'),
    [
        ('stripes', [(1, 0), (0, 0.3)], [(0.5, 0)]),
        ('checks', [(1 / 1.6, 1 / 1.6), (2 / 1.6, 0)], [(1 / 1.6, 0)]),
        ('dots', [(1, 0), (0, 1)], [(0.5, 0), (0.5, 0.5)]),
        ('zigzag', [(1, 0), (0, 2)], [(0, 1), (0, 0.3)]),
    ],
)
def test_what_repeats(name, steps, others):
    """By one wavelength, or along the stripes; and by no shorter step."""
    assert all(moved(name, *step) < 0.02 for step in steps)
    assert all(moved(name, *step) > 0.1 for step in others)


def test_rings_are_round_and_sectors_are_straight():
    x, y = GRID
    assert np.allclose(draw('rings', x, y), draw('rings', 0.6 * x + 0.8 * y, 0.6 * y - 0.8 * x))
    assert np.allclose(draw('sectors', x, y), draw('sectors', 3 * x, 3 * y))
    sixth = np.pi / 3
    turned = (np.cos(sixth) * x - np.sin(sixth) * y, np.sin(sixth) * x + np.cos(sixth) * y)
    assert np.allclose(draw('sectors', x, y), draw('sectors', *turned))


def test_a_shade_rises_and_blocks_are_random():
    x, y = GRID
    rows = draw('shade', x, y)
    assert (np.diff(rows, axis=1) >= 0).all()
    assert rows.min() == 0
    assert rows.max() == 1
    first, second = (PATTERNS[NAMES.index('blocks')](x, y, np.random.default_rng(seed)) for seed in (0, 1))
    assert set(np.unique(first)) == {0.0, 1.0}
    assert 0.4 < first.mean() < 0.6
    assert 0.3 < (first != second).mean() < 0.7


@pytest.mark.parametrize('kind', range(len(CLASSES)))
def test_patterns_fill_any_image_with_shares(kind):
    rng = np.random.default_rng(kind)
    shares = [paint_pattern(kind, (21, 34), (5.5, 9.0), rng) for _ in range(2)]
    for share in shares:
        assert share.shape == (21, 34)
        assert share.min() >= 0
        assert share.max() <= 1
        assert share.std() > 0.05
    assert np.abs(shares[0] - shares[1]).mean() > 0.02
