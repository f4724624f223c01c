"""Short runs of the reference recipe on a tiny model, for tests that watch single steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

BASE = Path(__file__).parents[2] / 'configs' / 'simmim_swin_base.py'
ARCH = dict(_delete_=True, embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])


def tiny_run(data_root: str, work_dir: Path, iters: int = 7, change: Callable[[Config], Any] | None = None) -> Runner:
    """The Runner of :func:`tiny_config`; not started yet."""
    return Runner.from_cfg(tiny_config(data_root, work_dir, iters, change))


def tiny_config(
    data_root: str, work_dir: Path, iters: int = 7, change: Callable[[Config], Any] | None = None
) -> Config:
    """``configs/simmim_swin_base.py``, tiny, logging every third iteration."""
    cfg = Config.fromfile(BASE)
    cfg.merge_from_dict(
        dict(
            model=dict(img_size=64, backbone=dict(arch=dict(ARCH), img_size=64, window_size=2)),
            train_dataloader=dict(batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False),
            optim_wrapper=dict(precision='fp32'),
            param_scheduler=dict(warmup=0),
            default_hooks=dict(logger=dict(interval=3), checkpoint=None),
        )
    )
    dataset = cfg.train_dataloader.dataset
    dataset.data_root, dataset.pipeline[1].size = data_root, 64
    cfg.custom_hooks = [dict(type='SampleProgressHook')]
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iters)
    cfg.log_level, cfg.experiment_name, cfg.work_dir = 'ERROR', work_dir.name, str(work_dir)
    if change is not None:
        change(cfg)
    return cfg


def logged(work_dir: Path) -> list[dict[str, float]]:
    """What a run logged, but for times."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if 'time' not in key} for row in rows]
