"""Faults of the validation pipeline are found before training, not after an epoch of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.runner import ValLoop

from simmim_mm.engine.validation_check import check_validation
from simmim_mm.registry import DATASETS

ROOT = Path(__file__).parents[2]
MASK = dict(type='RandomPatchMask', mask_patch_size=32)
SCHEDULE = dict(MASK, mask_ratio=dict(type='LinearRatio', start=0.2, end=0.9))
OTHER = dict(MASK, key='other_mask')
CROP = dict(type='CenterCrop', size=64)


def check(model, folder, *steps, wrapped=False):
    dataset = dict(
        type='UnlabelledImages',
        data_root=folder,
        pipeline=[dict(type='LoadImage'), *steps, dict(type='PackMaskedImage')],
    )
    if wrapped:
        dataset = dict(type='ConcatDataset', datasets=[dict(dataset, pipeline=[]), dataset])
    loop = object.__new__(ValLoop)  # MMEngine's needs a whole Runner
    loop.dataloader = SimpleNamespace(dataset=DATASETS.build(dataset))
    check_validation(loop, model)


def test_sound_validation_passes(tiny_model, build_model, image_folder):
    """Also at another size that the encoder takes, and with what a companion uses."""
    folder = image_folder(2)
    check(tiny_model, folder, CROP, MASK)
    check(tiny_model, folder, dict(type='RandomResizedCrop', size=(64, 128)), MASK)
    check(build_model(companion=dict(type='ContrastiveCompanion')), folder, CROP, MASK, OTHER)
    check_validation(None, tiny_model)


@pytest.mark.parametrize('wrapped', [False, True])
@pytest.mark.parametrize(
    ('steps', 'words'),
    [
        ([CROP, SCHEDULE], r'mask_ratio of RandomPatchMask in val_dataloader follows the progress.*give a number'),
        (
            [dict(type='RandomResizedCrop', size=64, sizes=[64, 128]), MASK],
            r'sizes=\[\(64, 64\), \(128, 128\)\] of RandomResizedCrop in val_dataloader.*CenterCrop',
        ),
        ([CROP, MASK, OTHER], r"RandomPatchMask\(key='other_mask'\) in val_dataloader.*without companion"),
        ([dict(type='CenterCrop', size=80), dict(MASK, mask_patch_size=16)], 'images of 80x80.*val_dataloader.*32x32'),
        ([dict(type='mmcv.RandomApply', transforms=[CROP, SCHEDULE])], 'mask_ratio of .* in val_dataloader'),
    ],
    ids=['schedule', 'sizes', 'other mask', 'size', 'nested'],
)
def test_faults_of_the_validation_are_named(tiny_model, image_folder, steps, words, wrapped):
    """Each names val_dataloader."""
    with pytest.raises(ValueError, match=words):
        check(tiny_model, image_folder(2), *steps, wrapped=wrapped)


def test_a_run_with_such_a_fault_does_not_begin(image_folder, tmp_path):
    """Through the tool: one error, before the first iteration."""
    config = tmp_path / 'scheduled.py'
    config.write_text(
        f"_base_ = '{ROOT / 'configs' / 'simmim_demo.py'}'\n"
        'model = dict(backbone=dict(arch=dict(embed_dims=16, depths=[1, 1, 1], num_heads=[1, 2, 4])))\n'
        'val_dataloader = dict(num_workers=0, dataset=dict(pipeline=['
        "dict(type='LoadImage'), dict(type='CenterCrop', size=128), "
        "dict(type='RandomPatchMask', mask_patch_size=16, mask_ratio=dict(type='LinearRatio', start=0.2, end=0.9)), "
        "dict(type='PackMaskedImage')]))\n"
    )
    folder = image_folder(4)
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(config), '--data-root', folder]
    command += ['--work-dir', str(tmp_path / 'run'), '--precision', 'fp32', '--cfg-options']
    command += [f'val_dataloader.dataset.data_root={folder}', 'train_dataloader.batch_size=2']
    command += ['train_dataloader.num_workers=0', 'train_cfg.max_iters=2', 'param_scheduler.warmup=1']
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert result.returncode == 2, result.stdout + result.stderr
    assert 'error: mask_ratio of RandomPatchMask in val_dataloader follows' in result.stderr
    assert 'Iter(train)' not in result.stdout + result.stderr
