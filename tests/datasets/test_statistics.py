"""Mean and deviation of a data set, against NumPy over all pixels at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from simmim_mm.datasets.statistics import config_lines, image_statistics, report, value_range
from simmim_mm.registry import MODELS

ROOT = Path(__file__).parents[2]


def samples_of(images):
    return [lambda image=image: {'img': image, 'img_path': 'x'} for image in images]


@pytest.mark.parametrize('offset', [0.0, 1e5])
def test_statistics_are_numpys(offset):
    """Images of different sizes, float32 values, also where the mean is large against the deviation."""
    rng = np.random.default_rng(0)
    images = [rng.normal(offset, 3, (h, w, 5)).astype(np.float32) for h, w in ((4, 7), (30, 2), (9, 9))]
    found = image_statistics(samples_of(images))
    pixels = np.concatenate([image.reshape(-1, 5) for image in images]).astype(np.float64)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-9)
    assert np.array_equal(found.low, pixels.min(axis=0))
    assert np.array_equal(found.high, pixels.max(axis=0))
    assert found.sizes == {(4, 7): 1, (30, 2): 1, (9, 9): 1}
    assert found.num_images == 3


def test_fewer_images_are_spread_over_the_set():
    found = image_statistics(samples_of([np.full((2, 2, 1), value, np.uint8) for value in range(101)]), num_images=3)
    assert (found.low[0], found.mean[0], found.high[0]) == (0, 50, 100)


def test_images_of_different_channels_are_refused():
    with pytest.raises(ValueError, match='differ in channels: x has 3, x has 4'):
        image_statistics(samples_of([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 4), np.uint8)]))


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ([0, 200], (0, 255)),
        ([3, 4000], (0, 4095)),
        ([0, 40000], (0, 65535)),
        ([0.0, 0.5], (0.0, 0.5)),
        ([-30.0, 2.0], (-30.0, 2.0)),
        ([5.5, 5.5], (5.5, 6.5)),
    ],
    ids=str,
)
def test_ranges(values, expected):
    """Of whole numbers that of their bits, of others what was found; the lines build a preprocessor."""
    found = image_statistics(samples_of([np.array(values, np.float32).reshape(1, 2, 1)]))
    assert value_range(found) == expected
    scope: dict = {}
    exec(config_lines(found), scope)
    cfg = scope['model']['data_preprocessor']
    assert cfg.pop('_delete_')
    preprocessor = MODELS.build(cfg)
    assert preprocessor.value_range == expected
    assert preprocessor.mean.item() == pytest.approx(np.mean(values), rel=1e-5)


def run_tool(*arguments, status=0):
    command = [sys.executable, str(ROOT / 'tools' / 'dataset_statistics.py'), str(ROOT / 'configs/simmim_swin_tiny.py')]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert result.returncode == status, result.stderr[-3000:]
    return result.stdout + result.stderr


def test_the_tool_reads_what_the_model_takes_or_what_is_stored(tmp_path):
    """RGB as 8-bit numbers, and 16-bit bands; what cannot be read is counted."""
    rng = np.random.default_rng(0)
    bands = rng.integers(0, 3000, (4, 13, 6, 10)).astype(np.uint16)
    for number, image in enumerate(bands):
        tifffile.imwrite(tmp_path / f'{number}.tif', image, photometric='minisblack')
    (tmp_path / 'z.tif').write_bytes(b'no image')
    output = run_tool('--data-root', str(tmp_path), status=2)
    assert 'holds 13 channels of 6x10 pixels (in bands), but 3 are asked for' in output
    output = run_tool('--data-root', str(tmp_path), '--as-stored')
    assert '4 images read, 1 unreadable (20.0 %)' in output
    assert 'values: 4 images of uint16' in output
    assert 'value_range=(0, 4095)' in output
    scope: dict = {}
    exec(output[output.index('model = dict(') :].split('\n)\n')[0] + '\n)', scope)
    pixels = bands.transpose(0, 2, 3, 1).reshape(-1, 13)
    cfg = scope['model']['data_preprocessor']
    np.testing.assert_allclose(cfg['mean'], pixels.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(cfg['std'], pixels.std(axis=0), rtol=1e-5)


def test_the_report_counts_grey_images(transform, tmp_path, photographs):
    for name in ('camera', 'coffee'):
        Image.fromarray(photographs[name]).save(tmp_path / f'{name}.png')
    load = transform('LoadImage', grey='repeat')
    files = [str(tmp_path / f'{name}.png') for name in ('camera', 'coffee')]
    text = report(image_statistics([lambda path=path: load({'img_path': path}) for path in files]))
    assert 'grey, repeated into 3 channels: 1' in text
    assert '1 of 512x512, 1 of 400x600' in text
