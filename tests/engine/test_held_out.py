"""`--held-out`: validation on a part of the training images, and the best checkpoint that it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from tiny import TINY_CONFIG, tiny_vit

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.file_names import is_held_out
from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train
from simmim_mm.registry import DATASETS

ROOT = Path(__file__).parents[2]
BASE = ROOT / 'configs' / 'simmim_swin_base.py'


class Stopped(Exception):
    """Stands for whatever ends a process."""


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class StopBehindValidation(Hook):
    """Ends a run behind a validation, after everything else."""

    priority = 'LOWEST'

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_val_epoch(self, runner, metrics=None):
        """Raises."""
        if runner.epoch == self.epoch:
            raise Stopped


@pytest.fixture
def config(tmp_path, image_folder):
    """The reference recipe on 16 images, of which a quarter or so is held out."""
    folder = image_folder(16)

    def make(*options: str, held_out: float | None = 0.25, text: str = '', **kwargs) -> Config:
        path = tmp_path / 'tiny.py'
        path.write_text(TINY_CONFIG.format(base=BASE, batch_size=2, num_workers=0, data_root=folder) + text)
        kwargs.setdefault('work_dir', str(tmp_path / 'run'))
        return load_config(str(path), held_out=held_out, cfg_options=options, precision='fp32', **kwargs)

    return make


def test_training_and_validation_share_no_image_and_lack_none(config):
    cfg = config()
    train_set, val_set = (DATASETS.build(cfg[name].dataset) for name in ('train_dataloader', 'val_dataloader'))
    paths = [[each.get_data_info(number)['img_path'] for number in range(len(each))] for each in (train_set, val_set)]
    everything = UnlabelledImages(cfg.train_dataloader.dataset.data_root)
    assert sorted(paths[0] + paths[1]) == [everything.get_data_info(number)['img_path'] for number in range(16)]
    assert paths[1] == [path for path in sorted(paths[0] + paths[1]) if is_held_out(Path(path).name, 0.25)]
    assert val_set.fixed
    steps = [type(step).__name__ for step in val_set.pipeline.transforms]
    assert steps == ['LoadImage', 'CenterCrop', 'RandomPatchMask', 'PackMaskedImage']
    assert val_set.pipeline.transforms[1].size == (64, 64)


def test_what_changes_in_a_run_stands_still(config):
    """A schedule of the ratio, sizes of batches and the mask of a second view."""
    text = """
train_dataloader['dataset']['pipeline'] = [
    dict(type='LoadImage'), dict(type='simmim_mm.RandomResizedCrop', size=64, sizes=[64, 128]), dict(type='RandomFlip'),
    dict(type='SquareMask', mask_patch_size=16, mask_ratio=dict(type='LinearRatio', start=0.2, end=0.7)),
    dict(type='RandomPatchMask', key='other_mask'), dict(type='PackMaskedImage')]
"""
    pipeline = config(text=text).val_dataloader.dataset.pipeline
    assert [step.type for step in pipeline] == ['LoadImage', 'simmim_mm.CenterCrop', 'SquareMask', 'PackMaskedImage']
    assert pipeline[2].mask_ratio == 0.7
    assert pipeline[2].mask_patch_size == 16
    assert pipeline[0].channels == 3  # what model.data_preprocessor says reaches the copy


def test_options_of_the_command_line_reach_both_parts(config, image_folder):
    other = image_folder(12, 'other')
    cfg = config(f'train_dataloader.dataset.data_root={other}', 'val_dataloader.batch_size=7')
    assert cfg.val_dataloader.dataset.data_root == other
    assert cfg.val_dataloader.batch_size == 7
    assert cfg.default_hooks.checkpoint.save_best == 'val/hidden_objective'
    assert cfg.default_hooks.checkpoint.rule == 'less'


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        (dict(held_out=1.5), r'^--held-out 1.5 must be a share .* between 0 and 1'),
        (dict(validate=False), '--held-out 0.25 adds a validation, and --no-validate'),
        (
            dict(text="train_dataloader['dataset'].update(split='train', held_out=0.1)\n"),
            "--held-out 0.25 .* split='train' already",
        ),
        (
            dict(text="train_dataloader['dataset'].update(type='mmpretrain.CustomDataset')\n"),
            r'--held-out does not fit .*mmpretrain\.CustomDataset.* UnlabelledImages',
        ),
    ],
    ids=['share', 'no validation', 'split already', 'foreign'],
)
def test_what_does_not_fit_is_refused(config, settings, words):
    with pytest.raises(ValueError, match=words):
        config(**settings)


def quick(cfg: Config, epochs: int = 3) -> Config:
    """With a tiny encoder, and checkpoints so seldom that none but the best and ``latest.pth`` is written."""
    cfg.model.backbone = tiny_vit()
    cfg.train_cfg.max_epochs, cfg.param_scheduler.warmup = epochs, 1
    cfg.custom_hooks, cfg.log_level = [], 'ERROR'
    cfg.default_hooks.checkpoint.update(interval=100, save_last=False)
    return cfg


def validations(work_dir: str) -> list[dict]:
    rows = [json.loads(line) for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')) for line in file.open()]
    return [row for row in rows if 'val/hidden_objective' in row]


def best_files(work_dir: str) -> list[str]:
    return [path.name for path in Path(work_dir).glob('best_*.pth')]


def test_the_best_checkpoint_survives_a_resume(config, tmp_path):
    """Stopped behind the second validation; resumed, the run ends with the best file of one that was not stopped."""
    whole = quick(config(work_dir=str(tmp_path / 'whole')))
    train(whole)
    rows = validations(whole.work_dir)
    best = min(rows, key=lambda row: row['val/hidden_objective'])
    assert [row['step'] for row in rows] == [1, 2, 3]
    assert best_files(whole.work_dir) == [f'best_val_hidden_objective_epoch_{best["step"]}.pth']
    # No numbered checkpoint beside the interval, which the host writes for each new best.
    assert {path.name for path in Path(whole.work_dir).glob('*.pth')} == {'latest.pth', *best_files(whole.work_dir)}

    cfg = quick(config(work_dir=str(tmp_path / 'stopped')))
    cfg.custom_hooks = [dict(type='StopBehindValidation', epoch=2)]
    with pytest.raises(Stopped):
        train(cfg)
    (name,) = best_files(cfg.work_dir)
    first = torch.load(Path(cfg.work_dir) / 'latest.pth', weights_only=False)['message_hub']['runtime_info']
    assert Path(first['best_ckpt']).name == name
    train(quick(config(work_dir=cfg.work_dir, resume='auto')))
    assert best_files(cfg.work_dir) == best_files(whole.work_dir)
    assert [row['val/hidden_objective'] for row in validations(cfg.work_dir)] == [
        row['val/hidden_objective'] for row in rows
    ]
    ours, theirs = (
        torch.load(Path(each.work_dir) / best_files(each.work_dir)[0], weights_only=False)['state_dict']
        for each in (cfg, whole)
    )
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_best_that_is_no_result_is_named(config):
    cfg = quick(config('default_hooks.checkpoint.save_best=val/accuracy'))
    with pytest.raises(ValueError, match=r"save_best='val/accuracy' .* is no result .* val/hidden_objective, "):
        train(cfg)
