"""Command-line options, and what they do to a config."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simmim_mm.engine.config import load_config

ROOT = Path(__file__).parents[2]
BASE = str(ROOT / 'configs' / 'simmim_swin_base.py')


def test_options_reach_the_config():
    cfg = load_config(
        BASE,
        work_dir='runs/a',
        resume='auto',
        precision='fp32',
        auto_scale_lr=True,
        data_root='photos',
        cfg_options=['train_cfg.max_epochs=3', 'optim_wrapper.optimizer.betas=(0.9,0.95)'],
    )
    assert cfg.work_dir == 'runs/a'
    assert cfg.resume is True
    assert cfg.load_from is None
    assert cfg.optim_wrapper.precision == 'fp32'
    assert cfg.auto_scale_lr.enable is True
    assert cfg.train_dataloader.dataset.data_root == 'photos'
    assert cfg.train_cfg.max_epochs == 3
    assert cfg.optim_wrapper.optimizer.betas == (0.9, 0.95)


def test_defaults():
    cfg = load_config(BASE)
    assert cfg.work_dir == 'work_dirs/simmim_swin_base'
    assert cfg.optim_wrapper.precision == 'auto'
    assert load_config(BASE, resume=BASE).load_from == BASE


def test_amp_replaces_the_hosts_wrapper(tmp_path):
    config = tmp_path / 'host.py'
    config.write_text(
        "optim_wrapper = dict(type='AmpOptimWrapper', dtype='float16', optimizer=dict(type='SGD', lr=1.0))"
    )
    wrapper = load_config(str(config), precision='amp').optim_wrapper
    assert wrapper == dict(type='simmim_mm.PrecisionOptimWrapper', precision='amp', optimizer=dict(type='SGD', lr=1.0))


def test_a_configs_loss_scale_survives_the_option(tmp_path):
    config = tmp_path / 'fp16.py'
    config.write_text(
        "optim_wrapper = dict(type='PrecisionOptimWrapper', precision='auto', loss_scale=dict(init_scale=512.0))"
    )
    assert load_config(str(config), precision='fp16').optim_wrapper.loss_scale == dict(init_scale=512.0)


def test_data_root_reaches_the_set_inside_a_wrapper(tmp_path):
    config = tmp_path / 'repeat.py'
    config.write_text(
        "train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, "
        "dataset=dict(type='UnlabelledImages', data_root='a')))"
    )
    assert load_config(str(config), data_root='b').train_dataloader.dataset.dataset.data_root == 'b'


def test_options_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config 'nowhere.py' is no file"):
        load_config('nowhere.py')
    config = tmp_path / 'other.py'
    config.write_text("train_dataloader = dict(dataset=dict(type='Other'))")
    with pytest.raises(ValueError, match='its training data set Other has no data_root'):
        load_config(str(config), data_root='b')
    with pytest.raises(FileNotFoundError, match="checkpoint 'epoch_3.pth' to resume from does not exist"):
        load_config(BASE, resume='epoch_3.pth')
    with pytest.raises(ValueError, match="'img_size' is no setting of a run.*override those, such as model.img_size"):
        load_config(BASE, cfg_options=['img_size=224'])
    with pytest.raises(ValueError, match='is no KEY=VALUE'):
        load_config(BASE, cfg_options=['train_cfg'])
    with pytest.raises(ValueError, match='--auto-scale-lr needs auto_scale_lr'):
        load_config(str(config), auto_scale_lr=True)


@pytest.mark.parametrize(
    'value',
    [
        '"[dict(type=LoadImage),dict(type=RandomResizedCrop,size=(64,96))]"',
        '[dict(type=LoadImage)]',
        'dict(type=LoadImage)',
        '{"type":"LoadImage"}',
        '[(1,2)',
    ],
)
def test_a_value_that_options_cannot_say_is_refused_at_the_option(value):
    """MMEngine's parser recurses without an end, or takes a dict for a word."""
    option = f'train_dataloader.dataset.pipeline={value}'
    with pytest.raises(ValueError, match='cannot be read: a value is a number.*config of your own') as error:
        load_config(BASE, cfg_options=['train_cfg.max_epochs=3', option])
    assert repr(option) in str(error.value)


def test_a_folder_to_resume_from_is_called_one(tmp_path):
    with pytest.raises(ValueError, match=f'--resume {tmp_path} is a folder; .*use --work-dir {tmp_path} --resume'):
        load_config(BASE, resume=str(tmp_path))


def run_train(*args: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)


def test_missing_imagenet_is_one_clear_message(tmp_path):
    result = run_train(
        BASE, '--work-dir', str(tmp_path), '--cfg-options', 'train_dataloader.dataset.data_root=no/imagenet',
        'model.backbone.arch=tiny',
    )  # fmt: skip
    assert result.returncode == 2
    assert "error: data_root='no/imagenet' does not exist" in result.stderr
    assert '--data-root FOLDER' in result.stderr
    assert 'Traceback' not in result.stderr
