"""One training step of a config."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

CONFIGS = Path(__file__).parents[2] / 'configs'


def one_step(cfg: Config, data_root: str, work_dir: str, name: str) -> Runner:
    """Trains one iteration with two images."""
    loader = cfg.train_dataloader
    loader.batch_size, loader.num_workers, loader.persistent_workers = 2, 0, False
    dataset = loader.dataset
    while 'data_root' not in dataset:
        dataset = dataset.dataset
    dataset.data_root = data_root
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
