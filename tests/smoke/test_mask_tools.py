"""The gallery and the table of AvgDist from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture(name='run')
def _run(run_tool):
    return run_tool


def test_a_gallery_of_one_image(run, image_folder, tmp_path):
    """No config; what is printed is the path of the picture."""
    picture = tmp_path / 'gallery.png'
    arguments = [image_folder(1), '--size', '64', '96', '--out', str(picture)]
    assert run('show_masks.py', '--gallery', *arguments).splitlines()[-1] == str(picture)
    assert picture.stat().st_size > 5000
    output = run('show_masks.py', '--gallery', *arguments, '--cell', '24', status=2)
    assert 'error: mask_patch_size=24 does not divide both sides of the 64x96 image; use one of 4, 8, 16, 32' in output


@pytest.mark.parametrize('option', ['--cfg-options', '--num-masks', '--augment'])
def test_a_gallery_takes_no_options_of_configs(run, option):
    """They would mean nothing there."""
    assert 'unrecognized arguments' in run('show_masks.py', '--gallery', 'x.png', option, '3', status=2)


def test_a_table_of_distances(run, image_folder, tmp_path):
    """A row a strategy and cell, and the plot; without images, only those that need none."""
    plot = tmp_path / 'plot.png'
    options = ['--size', '64', '--cells', '16', '--ratios', '0.5', '--draws', '2']
    output = run('mask_distances.py', image_folder(1), *options, '--plot', str(plot))
    assert len([line for line in output.splitlines() if line.startswith('| ')]) == 1 + 9
    assert plot.is_file()
    output = run('mask_distances.py', *options)
    assert len([line for line in output.splitlines() if line.startswith('| ')]) == 1 + 6
    assert 'error: ratio=2.0' in run('mask_distances.py', '--ratios', '2', status=2)


def test_no_image_is_overwritten(run, image_folder, tmp_path, monkeypatch):
    """By the picture of any of the tools: not the images, not label maps, nor those that lie in a folder."""
    folder = Path(image_folder(2))
    (tmp_path / 'labels').mkdir()
    for image in folder.iterdir():
        (tmp_path / 'labels' / image.name).write_bytes(image.read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.rglob('*.png')}
    assert len(before) == 4
    monkeypatch.chdir(folder)
    config = str(TOOLS.parent / 'configs' / 'simmim_swin_base.py')
    for arguments in (
        ['show_masks.py', config, folder, '--out', '000.png'],
        ['show_masks.py', config, '001.png', '--out', '001'],  # which becomes 001.png
        ['show_masks.py', '--gallery', '000.png', '--out', folder / '000.png'],
        ['show_masks.py', '--gallery', '000.png', '--labels', tmp_path / 'labels', '--out', '../labels/000.png'],
        ['show_reconstructions.py', config, 'none.pth', folder, '--out', '001.png'],
        ['mask_distances.py', '000.png', '--plot', './000.png'],
    ):
        assert 'is read and would be overwritten' in run(*arguments, status=2)
    assert {path: path.read_bytes() for path in tmp_path.rglob('*.png')} == before


def test_folders_without_images_are_called_what_they_were_given_as(run, tmp_path, monkeypatch):
    """Not ``data_root`` of a data set, which these tools do not have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    config = str(TOOLS.parent / 'configs' / 'simmim_swin_base.py')
    for arguments, option in (
        (['show_masks.py', config, 'empty'], 'IMAGE'),
        (['mask_distances.py', 'empty'], 'IMAGE'),
        (['pack_shards.py', 'empty', 'shards'], 'FOLDER'),
    ):
        output = run(*arguments, status=2)
        assert f"error: {option}='empty' holds no images: it is empty" in output
        assert 'data' not in output.replace('data set', '')
    assert "error: FOLDER='none' does not exist" in run('pack_shards.py', 'none', 'shards', status=2)
