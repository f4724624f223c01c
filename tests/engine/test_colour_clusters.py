"""Colour clusters of a config's training images."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from scipy.cluster.vq import kmeans2

from simmim_mm.engine.colour_clusters import cluster_colours, k_means
from simmim_mm.models.targets.cluster_file import load_clusters
from simmim_mm.registry import MODELS

COLOURS = np.array([[10, 20, 30], [200, 40, 60], [90, 180, 240], [250, 250, 110]], dtype=np.uint8)


@pytest.fixture
def config(tmp_path):
    """Images of four flat quarters of one colour each, with a grey level or so of noise."""
    folder = tmp_path / 'quarters'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        order = rng.permutation(4).reshape(2, 2)
        image = COLOURS[np.kron(order, np.ones((8, 8), dtype=int))].astype(int) + rng.integers(-2, 3, (16, 16, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f'{number}.png')
    pipeline = [dict(type='LoadImage'), dict(type='RandomPatchMask', mask_patch_size=8), dict(type='PackMaskedImage')]
    return Config(
        dict(
            default_scope='simmim_mm',
            model=dict(type='SimMIM', head=dict(target=dict(clusters='a file that is not there yet'))),
            train_dataloader=dict(
                dataset=dict(type='UnlabelledImages', data_root=str(folder), pipeline=pipeline),
            ),
        )
    )


def test_the_colours_of_the_images_are_found(config, tmp_path):
    """Four known colours, in the images' units, dark to bright; the file has what the target needs."""
    out = str(tmp_path / 'new' / 'clusters.npz')
    clusters, reused = cluster_colours(config, 4, out, num_pixels=600)
    assert not reused
    assert np.abs(clusters.centres - COLOURS).max() < 1  # listed by the sum of their channels
    assert clusters.value_range.tolist() == pytest.approx(np.array([[0.0] * 3, [255.0] * 3]), abs=1e-3)
    # Noise of -2 to 2 in each of three channels has a variance of 2 each.
    assert clusters.distortion * 255**2 == pytest.approx(6, rel=0.1)
    loaded = load_clusters(out)
    assert np.allclose(loaded.centres, clusters.centres)
    assert (loaded.settings['num_clusters'], loaded.settings['num_pixels']) == (4, 600)
    target = dict(type='ColorClusterTarget', clusters=out, image_channels=3, pixel_range=[[0.0] * 3, [1.0] * 3])
    assert MODELS.build(target).num_classes == 4


def test_a_file_of_the_same_settings_is_used_again(config, tmp_path):
    """Same settings: read, not made; others: refused with what differs; forced: made anew, the same."""
    out = str(tmp_path / 'clusters.npz')
    first, _ = cluster_colours(config, 4, out, num_pixels=600)
    (tmp_path / 'quarters').rename(tmp_path / 'moved')
    (tmp_path / 'moved').rename(tmp_path / 'quarters')
    written = (tmp_path / 'clusters.npz').stat().st_mtime_ns
    again, reused = cluster_colours(config, 4, out, num_pixels=600)
    assert reused
    assert np.array_equal(again.centres, first.centres.astype(np.float32))
    assert (tmp_path / 'clusters.npz').stat().st_mtime_ns == written
    with pytest.raises(ValueError, match='num_clusters=4 instead of 3; add --force to make it anew, or name another'):
        cluster_colours(config, 3, out, num_pixels=600)
    config.model.data_preprocessor = dict(type='MaskedImagePreprocessor', bgr_to_rgb=True)
    with pytest.raises(ValueError, match='data='):
        cluster_colours(config, 4, out, num_pixels=600)
    swapped, reused = cluster_colours(config, 4, out, num_pixels=600, force=True)
    assert not reused
    # The model sees the channels the other way round.
    assert np.abs(np.sort(swapped.centres[:, 0]) - np.sort(COLOURS[:, 2].astype(float))).max() < 1


def test_more_clusters_than_colours_are_refused(config, tmp_path):
    for image in (tmp_path / 'quarters').iterdir():
        Image.new('RGB', (16, 16), (7, 7, 7)).save(image)
    config.train_dataloader.dataset.blank = 'keep'
    with pytest.raises(ValueError, match='2 colour clusters were asked for, but .* 1 different colours; set a smaller'):
        cluster_colours(config, 2, str(tmp_path / 'clusters.npz'), num_pixels=100)
    assert not (tmp_path / 'clusters.npz').exists()


def test_k_means_settles_as_low_as_scipys():
    """Points without structure: the distortion is that of the library's own 30 rounds, within 3 %."""
    points = np.random.default_rng(0).random((3000, 3))
    centres, distortion = k_means(points, 16, np.random.default_rng(1))
    distances = ((points[:, None] - centres) ** 2).sum(-1)
    assert distortion == pytest.approx(distances.min(axis=1).mean(), rel=1e-9)
    reference, labels = kmeans2(points, 16, iter=30, minit='++', seed=np.random.default_rng(2))
    assert distortion < 1.03 * ((points - reference[labels]) ** 2).sum(-1).mean()


def test_the_tool_makes_the_file_and_says_when_it_is_used_again(image_folder, tmp_path, monkeypatch, capsys):
    """A whole call of tools/cluster_colours.py, twice, with a config of this package; then one that is refused."""
    out = str(tmp_path / 'clusters.npz')
    tool = Path(__file__).parents[2] / 'tools' / 'cluster_colours.py'
    config = tool.parents[1] / 'configs' / 'simmim_demo.py'
    monkeypatch.syspath_prepend(str(tool.parent))
    arguments = [str(config), '--data-root', image_folder(4), '--num-clusters', '8', '--num-pixels', '400']

    def call(*more: str) -> str:
        monkeypatch.setattr('sys.argv', [str(tool), *arguments, '--out', out, *more])
        runpy.run_path(str(tool), run_name='__main__')
        return capsys.readouterr().out

    assert f'{out}: 8 colours; a pixel is' in call()
    assert 'made before with the same settings, and used again' in call()
    assert 'made before' not in call('--force')
    with pytest.raises(SystemExit):
        call('--seed', '1')
    assert 'error:' in capsys.readouterr().err


def test_the_config_is_not_overwritten(config, tmp_path):
    """Even where --force makes the file anew, whatever is there."""
    config.dump(tmp_path / 'config.py')
    before = (tmp_path / 'config.py').read_text()
    with pytest.raises(ValueError, match='is read and would be overwritten'):
        cluster_colours(Config.fromfile(tmp_path / 'config.py'), 4, f'{tmp_path}/quarters/../config.py', force=True)
    assert (tmp_path / 'config.py').read_text() == before
