"""One seed, one result: to the last bit, on CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny import tiny_vit

from simmim_mm.engine.checkpoints import read_checkpoint
from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train

ROOT = Path(__file__).parents[2]
ARCH = dict(embed_dims=16, num_layers=3, num_heads=1, feedforward_channels=16)


@pytest.fixture
def config(tmp_path, image_folder) -> str:
    """Two epochs of everything that draws: weights, order, crops, flips, masks, drop path."""
    cfg = Config.fromfile(ROOT / 'configs' / 'simmim_swin_base.py')
    cfg.model.img_size, cfg.model.backbone = 64, tiny_vit(arch=ARCH, drop_path_rate=0.5)
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_dataloader.dataset.data_root = image_folder(6)
    cfg.train_dataloader.dataset.pipeline[1].size = 64
    cfg.train_cfg.max_epochs = 2
    cfg.param_scheduler.warmup = 0
    cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', interval=2)
    cfg.custom_hooks, cfg.log_level = [], 'ERROR'
    cfg.dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(str(work_dir / 'epoch_2.pth'))


def run(config: str, work_dir: Path, seed: int, *options: str) -> dict[str, torch.Tensor]:
    """A run in this process, whatever was drawn in it before."""
    cfg = load_config(config, work_dir=str(work_dir), seed=seed, cfg_options=options)
    cfg.experiment_name = work_dir.name
    train(cfg)
    return weights(work_dir)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[key]) for key, value in one.items())


def test_one_seed_gives_one_result(config, tmp_path):
    """In this process, and by the tool in another one with other hashes and workers; another seed gives another."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'PYTHONHASHSEED': '12345'}
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), config, '--work-dir', str(tmp_path / 'tool')]
    command += ['--seed', '7', '--cfg-options', 'train_dataloader.num_workers=2']
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)
    torch.manual_seed(99)
    here = run(config, tmp_path / 'here', 7)
    assert same(weights(tmp_path / 'tool'), here)
    assert same(run(config, tmp_path / 'deterministic', 7, 'randomness.deterministic=True'), here)
    assert not same(run(config, tmp_path / 'other', 8), here)


@pytest.fixture(autouse=True)
def _as_before():
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


def test_the_seed_is_the_runs(config, tmp_path):
    cfg = load_config(config, work_dir=str(tmp_path), seed=7, cfg_options=['randomness.deterministic=True'])
    assert cfg.randomness == dict(seed=7, deterministic=True)
    assert load_config(config, work_dir=str(tmp_path)).randomness == dict(seed=0)


@pytest.mark.parametrize('seed', [-1, 2**32, 1.5])
def test_seeds_that_numpy_does_not_take_are_refused(config, seed):
    with pytest.raises(ValueError, match='seed=.* must be a whole number from 0 to 4294967295'):
        load_config(config, seed=seed)
