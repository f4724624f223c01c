"""Whole runs on images that are no RGB squares, through the tools."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_runs import ROOT, run, train

SMALL = """
_base_ = '{base}'
model = dict(backbone=dict(arch=dict(_delete_=True, embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])))
train_dataloader = dict(batch_size=2, num_workers=1)
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(data_root={val!r}))
optim_wrapper = dict(precision='fp32')
train_cfg = dict(max_epochs=1)
param_scheduler = dict(end=1, warmup=0)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
custom_hooks = [dict(type='ReconstructionHook', interval=1, bands=(3, 2, 1)), dict(type='UnreadableImagesHook')]
"""


def test_13_bands_of_16_bits_train_validate_and_draw(band_folder, tmp_path):
    """96x160 images in TIFF files through the config for them, with a smaller encoder; and pictures by the tools."""
    config = tmp_path / 'small.py'
    base = ROOT / 'configs' / 'simmim_multispectral.py'
    config.write_text(SMALL.format(base=base, val=band_folder(3, 'val')))
    folder = band_folder(4)
    train(str(config), '--data-root', folder, '--work-dir', str(tmp_path / 'run'))
    (scalars,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert len([row for row in rows if 'loss' in row]) == 2
    assert any(np.isfinite(row['val/hidden_l1']) for row in rows if 'val/hidden_l1' in row)
    with Image.open(tmp_path / 'run' / 'reconstructions' / 'iter_2.png') as picture:
        assert picture.size == (4 * 160 + 3 * 4, 18 + 3 * 96 + 2 * 4)
    masks = tmp_path / 'masks.png'
    run(
        *(sys.executable, 'tools/show_masks.py', str(config), folder, '--out', str(masks)),
        *('--bands', '3,2,1', '--num-masks', '1'),
    )
    with Image.open(masks) as picture:
        assert picture.size == (2 * 160 + 4, 18 + 4 * 96 + 3 * 4)
    checkpoint = str(tmp_path / 'run' / 'epoch_1.pth')
    other = ['--cfg-options', 'model.data_preprocessor.channels=4', f'load_from={checkpoint}']
    output = train(str(config), '--data-root', folder, '--work-dir', str(tmp_path / 'other'), *other, status=2)
    assert 'it was trained on images of 13 channels' in output
    options = ['--cfg-options', 'model.data_preprocessor.channels=12']
    output = run(sys.executable, 'tools/show_reconstructions.py', str(config), checkpoint, folder, *options, status=2)
    assert 'error:' in output
    assert '0.tif holds 13 channels of 96x160 pixels (in bands), but 12 are asked for' in output


@pytest.mark.parametrize(('channels', 'dtype'), [(1, np.uint8), (4, np.uint16)])
def test_two_options_are_enough_for_other_images(channels, dtype, tmp_path):
    """The demo's config on grey and on 16-bit images, training and validation."""
    rng = np.random.default_rng(0)
    high = np.iinfo(dtype).max
    for number in range(4):
        values = (rng.random((channels, 40, 60)) * high).astype(dtype)
        tifffile.imwrite(tmp_path / f'{number}.tif', values, photometric='minisblack')
    options = [f'model.data_preprocessor.channels={channels}']
    options += [f'model.data_preprocessor.value_range=[0,{high}]'] if dtype != np.uint8 else []
    quick = ['train_dataloader.batch_size=2', 'train_dataloader.num_workers=0', 'val_dataloader.batch_size=2']
    quick += ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'param_scheduler.warmup=1']
    val = f'val_dataloader.dataset.data_root={tmp_path}'
    arguments = ['--data-root', str(tmp_path), '--work-dir', str(tmp_path / 'run'), '--precision', 'fp32']
    config = str(ROOT / 'configs' / 'simmim_demo.py')
    output = train(config, *arguments, '--cfg-options', *options, *quick, val)
    assert 'mean and std of the config are dropped' in output
    assert 'val/hidden_l1' in output
    assert (tmp_path / 'run' / 'reconstructions' / 'iter_2.png').exists()


def test_missing_cifar_is_one_clear_message(tmp_path):
    options = ['--work-dir', str(tmp_path), '--data-root', str(tmp_path / 'nowhere')]
    output = train(str(ROOT / 'configs' / 'simmim_cifar10.py'), *options, status=2)
    assert 'error: mmpretrain.CIFAR10 finds no data_batch_1, data_batch_2 ... in' in output
    assert 'fetch https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz' in output
    assert 'Traceback' not in output
