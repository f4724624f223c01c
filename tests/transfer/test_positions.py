"""Resized positions, against SciPy's splines and torch's interpolation."""

import numpy as np
import pytest
import torch
from mmpretrain.models.utils import resize_pos_embed
from scipy.interpolate import RectBivariateSpline
from torch.nn import functional as F

from simmim_mm.transfer.positions import resize_absolute, resize_bias_table, table_window


def published(table: np.ndarray, old: int, new: int) -> np.ndarray:
    """The published way for one head, (2 old - 1)^2 to (2 new - 1)^2, with the spline that SciPy has now."""
    source, wanted = 2 * old - 1, 2 * new - 1
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if sum(ratio**k for k in range(source // 2)) > wanted // 2:
            high = ratio
        else:
            low = ratio
    right = [sum(ratio**k for k in range(count)) for count in range(1, source // 2 + 1)]
    knots = [-distance for distance in reversed(right)] + [0.0, *right]
    places = np.arange(-(wanted // 2), wanted // 2 + 1)
    return RectBivariateSpline(knots, knots, table.reshape(source, source))(places, places).ravel()


@pytest.mark.parametrize(('old', 'new'), [(6, 7), (6, 12), (12, 14), (12, 7), (3, 6)])
def test_geometric_is_the_published_algorithm(old, new):
    """To 1e-4 (1e-6, in fact), with the cubic interpolation of SciPy, head by head."""
    table = torch.randn((2 * old - 1) ** 2, 3)
    resized = resize_bias_table(table, (old, old), (new, new))
    expected = np.stack([published(table[:, head].double().numpy(), old, new) for head in range(3)], axis=1)
    assert resized.shape == ((2 * new - 1) ** 2, 3)
    assert resized.dtype == table.dtype
    assert np.abs(resized.numpy() - expected).max() < 1e-6


def test_the_centre_stays():
    """The bias of a cell to itself is the same in any window, whatever the method."""
    table = torch.randn(121, 2)
    for method in ('geometric', 'bicubic'):
        for new in (7, 12):
            resized = resize_bias_table(table, (6, 6), (new, new), method)
            torch.testing.assert_close(resized[len(resized) // 2], table[60], atol=1e-5, rtol=0)


def test_bicubic_is_torch():
    """Evenly stretched, as mmdet's and mmseg's Swin stretch a table when they load it."""
    table = torch.randn(121, 2)
    expected = F.interpolate(table.T.reshape(1, 2, 11, 11), size=(13, 13), mode='bicubic')
    torch.testing.assert_close(resize_bias_table(table, (6, 6), (7, 7), 'bicubic'), expected.view(2, 169).T)


def test_rows_of_the_class_token_stay():
    """The last three rows of a ViT's table are no positions; the others are resized as without them."""
    table = torch.randn(7 * 7 + 3, 2)
    resized = resize_bias_table(table, (4, 4), (6, 6))
    assert torch.equal(resized[-3:], table[-3:])
    assert torch.equal(resized[:-3], resize_bias_table(table[:-3], (4, 4), (6, 6)))


def test_not_square():
    """Rows and columns are resized apart: a table that varies along one of them is resized along that one."""
    row = torch.randn(9, 1).expand(9, 13)
    wide = resize_bias_table(row.reshape(-1, 1), (5, 7), (6, 9)).reshape(11, 17)
    square = resize_bias_table(row[:, :9].reshape(-1, 1), (5, 5), (6, 6)).reshape(11, 11)
    torch.testing.assert_close(wide, square[:, :1].expand(11, 17))


def test_smallest_window():
    """A window of 2 has three points a side: a parabola goes through them, which SciPy has no spline for."""
    values = torch.tensor([4.0, 0.0, 4.0])
    table = (values[:, None] + values).reshape(-1, 1)  # x^2 + y^2 of distances -2, 0, 2, or of others in proportion
    resized = resize_bias_table(table, (2, 2), (2, 2)).reshape(3, 3)
    torch.testing.assert_close(resized, table.reshape(3, 3))


@pytest.mark.parametrize(
    ('rows', 'old', 'new', 'method', 'message'),
    [
        (120, (6, 6), (7, 7), 'geometric', '121 relative positions'),
        (1, (1, 1), (7, 7), 'geometric', 'too small'),
        (121, (6, 6), (7, 7), 'nearest', 'geometric, bicubic'),
    ],
)
def test_nonsense_is_refused(rows, old, new, method, message):
    """A table of another window, a window of one cell, an unknown method."""
    with pytest.raises(ValueError, match=message):
        resize_bias_table(torch.zeros(rows, 1), old, new, method)


@pytest.mark.parametrize(('rows', 'expected'), [(1, (1, 0)), (121, (6, 0)), (732, (14, 3)), (529, (12, 0))])
def test_window_of_a_table(rows, expected):
    """(2 w - 1)^2, or 3 more."""
    assert table_window(rows) == expected


def test_window_of_no_table():
    """A number of rows that no square window has."""
    with pytest.raises(ValueError, match='no square window'):
        table_window(120)


def test_absolute_positions():
    """Those of mmpretrain, to rounding; the class token's stays."""
    positions = torch.randn(1, 49, 5)
    resized = resize_absolute(positions, (16, 12), (8, 6), extra=1)
    torch.testing.assert_close(resized, resize_pos_embed(positions, (8, 6), (16, 12), num_extra_tokens=1))
    assert torch.equal(resized[:, 0], positions[:, 0])
