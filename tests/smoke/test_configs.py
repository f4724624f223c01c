"""Every config in the repository builds and takes a step on real photographs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from simmim_mm.engine.launch import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
PRETRAINING = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob('*.py'))


def one_step(cfg: Config, data_root: str, work_dir: str, name: str) -> Runner:
    """Trains one iteration with two images."""
    loader = cfg.train_dataloader
    loader.batch_size, loader.num_workers, loader.persistent_workers = 2, 0, False
    loader.dataset.data_root = data_root
    cfg.work_dir, cfg.experiment_name = work_dir, name
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
    if isinstance(cfg.param_scheduler, dict):
        cfg.param_scheduler.warmup = 0
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.custom_hooks[0].by_epoch = False
    cfg.log_level = 'ERROR'
    runner = Runner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    changed = [key for key in after if not torch.equal(before[key], after[key])]
    assert 'masker.mask_token' in changed
    assert all(torch.isfinite(value).all() for value in after.values() if value.is_floating_point())
    return runner


@pytest.mark.parametrize('name', PRETRAINING)
def test_the_config_takes_a_step(name, image_folder, tmp_path):
    cfg = load_config(str(CONFIGS / name))
    if 'train_dataloader' not in cfg:
        pytest.fail(f'{name} is no pre-training config; it belongs in a folder of its own')
    runner = one_step(cfg, image_folder(2), str(tmp_path / 'run'), name.replace('.', '_'))
    assert runner.iter == 1
    assert list((tmp_path / 'run' / 'reconstructions').glob('*.png'))


def test_bases_are_at_most_two_hops_away():
    for path in CONFIGS.rglob('*.py'):
        hops, current = 0, path
        while (base := Config._get_base_files(str(current))) and hops < 5:
            assert len(base) == 1
            current, hops = current.parent / base[0], hops + 1
        assert hops <= 2, f'{path.name} has {hops} hops'


@pytest.mark.parametrize('name', [name for name in PRETRAINING if 'demo' not in name])
def test_docstrings_say_how_to_run_and_what_to_expect(name):
    text = (CONFIGS / name).read_text()
    assert f'configs/{name}' in text
    assert 'Result:' in text
