"""Curves of runs that were resumed, cut off, or have nothing to show."""

from __future__ import annotations

import json

import matplotlib.image
import pytest

from simmim_mm.visualization.curves import curves_of, plot_curves


def write(work_dir, start, rows, rest=''):
    folder = work_dir / start / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(f'{json.dumps(row)}\n' for row in rows) + rest)


def test_the_starts_of_a_resumed_run_are_one_curve(tmp_path):
    """What was computed again counts once, with its newer value; half a line at the end of a killed run does not."""
    write(
        tmp_path,
        '1',
        [dict(loss=0.9, lr=1, iter=1, step=1), dict(loss=0.8, iter=2, step=2), dict(loss=0.7, iter=3, step=3)],
        '{"loss": 0.',
    )
    write(
        tmp_path, '2', [dict(loss=0.6, iter=3, step=3), dict(loss=0.5, iter=4, step=4), {'val/psnr': 17.0, 'step': 4}]
    )
    curves = curves_of(str(tmp_path))
    assert {name: list(zip(one.steps, one.values, strict=True)) for name, one in curves.items()} == {
        'loss': [(1, 0.9), (2, 0.8), (3, 0.6), (4, 0.5)],
        'lr': [(1, 1.0)],
        'val/psnr': [(4, 17.0)],
    }


def test_a_panel_a_key(tmp_path):
    write(
        tmp_path / 'a',
        '1',
        [dict(loss=value, iter=step, step=step) for step, value in enumerate([1.0, 0.5, float('nan')])],
    )
    write(tmp_path / 'b', '1', [dict(loss=1.0, lr=0.1, iter=0, step=0)])
    runs = [str(tmp_path / 'a'), f'{tmp_path / "b"}/']
    one, two = (
        matplotlib.image.imread(plot_curves(runs, panels, str(tmp_path / 'out' / 'curves.png')))
        for panels in (['loss'], ['loss', 'loss,lr'])
    )
    assert two.shape[1] == pytest.approx(2 * one.shape[1], rel=0.01)
    assert two.shape[0] == one.shape[0]
    assert len({tuple(colour) for colour in one.reshape(-1, one.shape[2]).round(2)}) > 20  # drawn, and not white


def test_a_single_value_is_a_point(tmp_path):
    write(tmp_path, '1', [dict(loss=1.0, iter=0, step=0)])
    path = plot_curves([str(tmp_path)], ['loss'], str(tmp_path / 'curves.png'))
    rgb = matplotlib.image.imread(path)[..., :3]
    assert (rgb.max(axis=2) - rgb.min(axis=2) > 0.3).sum() > 10  # of colour; axes, grid and text are grey


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match='no run stands in'):
        curves_of(str(tmp_path))
    write(tmp_path, '1', [dict(loss=1.0, iter=0, step=0)])
    with pytest.raises(ValueError, match=r"none of the runs logged 'los'; they logged loss"):
        plot_curves([str(tmp_path)], ['los'], str(tmp_path / 'a.png'))
    with pytest.raises(ValueError, match=r'must end with \.png or \.svg'):
        plot_curves([str(tmp_path)], ['loss'], str(tmp_path / 'a.jpg'))


@pytest.mark.parametrize('rest', ['', '{"loss": 0.'])
def test_a_run_that_has_logged_nothing_yet(tmp_path, rest):
    """An empty file, and half a first line."""
    write(tmp_path / 'a', '1', [], rest)
    with pytest.raises(ValueError, match=r"nothing is logged yet in '.*/a', so there is no 'loss' to draw; wait for"):
        plot_curves([str(tmp_path / 'a')], ['loss'], str(tmp_path / 'a.png'))
    assert not (tmp_path / 'a.png').exists()
    write(tmp_path / 'b', '1', [dict(lr=1.0, iter=0, step=0)])
    with pytest.raises(ValueError, match="none of the runs logged 'loss'; they logged lr"):
        plot_curves([str(tmp_path / 'a'), str(tmp_path / 'b')], ['loss'], str(tmp_path / 'a.png'))
