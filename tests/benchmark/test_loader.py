"""Loaders: same shapes from all, real numbers in tables."""

import numpy as np
import pytest
import torch
from PIL import Image

from simmim_mm.benchmark.decode import decode_table, measure_decode
from simmim_mm.benchmark.loader import loader_table, measure_loader
from simmim_mm.benchmark.photographs import write_jpegs
from simmim_mm.benchmark.pipelines import pipelines_of


def test_photographs_have_their_size(tmp_path):
    """Seven files out of six photographs; the seventh is the first one mirrored."""
    files = write_jpegs(str(tmp_path), (60, 40), 7, quality=100)
    pictures = [np.asarray(Image.open(file)).astype(int) for file in files]
    assert {picture.shape for picture in pictures} == {(40, 60, 3)}
    assert np.abs(pictures[6] - pictures[0][:, ::-1]).mean() < 3


def test_all_pipelines_make_the_same_kind_of_batch(tmp_path):
    """Crops of 192 px and 22 of 36 cells hidden, in each code base's own form."""
    pipelines = pipelines_of(write_jpegs(str(tmp_path), (320, 240), 6))
    ours = pipelines['ours'].batch(range(3))
    assert ours['inputs'].shape == (3, 3, 192, 192)
    assert ours['mask'].sum((1, 2)).tolist() == [22] * 3
    host = pipelines['mmpretrain'].batch(range(3))
    assert host['inputs'].shape == (3, 3, 192, 192)
    assert [int(sample.mask.sum()) for sample in host['data_samples']] == [22 * 64] * 3
    images, masks = pipelines['authors'].batch(range(3))
    assert images.shape == (3, 3, 192, 192)
    assert images.dtype == torch.float32
    assert masks.sum((1, 2)).tolist() == [22 * 64] * 3


def test_measured_and_shown():
    """Whole decoding differs by nothing where nothing is reduced; large files are decoded smaller."""
    results = measure_loader(sizes=[(240, 180)], rounds=1, batch_size=2, pixels=90_000)
    assert [row['name'] for row in results['sizes'][0]['rows']] == ['ours', 'mmpretrain', 'authors']
    assert results['sizes'][0]['rows'][0]['pixel_difference'] == 0
    assert len(results['receiving']) == 5
    assert '| 240x180 |' in loader_table(results)
    decoded = measure_decode(sizes=[(1600, 1200)], rounds=1, pixels=4_000_000)
    assert 0 < decoded['rows'][0]['pixel_difference'] < 2.5
    assert decoded['rows'][0]['left']['images_per_s'] > decoded['rows'][0]['as_needed']['images_per_s']
    assert '| 1600x1200 |' in decode_table(decoded)


def test_a_table_by_hand():
    rate = dict(images_per_s=10.0, images_per_cpu_s=20.0, cpu_ratio=dict(median=3, low=3, high=3), base='ours')
    rows = [
        {'name': 'ours', **rate, 'wall_ratio': dict(median=1, low=1, high=1), 'pixel_difference': 0.5},
        {'name': 'other', **rate, 'wall_ratio': dict(median=2, low=1.5, high=2.5)},
    ]
    receiving = [{'name': 'ours', 'cpu_s': 0.002}, {'name': 'other', 'cpu_s': 0.011}]
    text = loader_table({'sizes': [{'size': [4, 3], 'rows': rows}], 'batch_size': 256, 'receiving': receiving})
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    assert cells[3] == ['4x3', 'other', '10.0', '20.0', '2.00x [1.50, 2.50]', '3.00x [3.00, 3.00]', '-']
    assert cells[-1] == ['other', '11.00', '5.5x']
    assert pytest.approx(5.5) == 0.011 / 0.002
