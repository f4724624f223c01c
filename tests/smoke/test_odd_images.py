"""A folder with damaged and odd images of every kind is trained on to the end, and nothing is dropped in silence."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from odd_images import DAMAGED, ODD, make_folder
from tiny import tiny_vit

from simmim_mm.datasets.transforms.stored import printable
from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train

ROOT = Path(__file__).parents[2]


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class NoteSamples(Hook):
    """Keeps the files of all batches."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Adds those of one."""
        self.paths += data_batch['img_path']


@pytest.fixture
def config(tmp_path):
    """Three epochs of all files, through what tools/train.py calls."""

    def make(data_root: Path, name: str, num_workers: int) -> Config:
        cfg = load_config(
            str(ROOT / 'configs' / 'simmim_swin_base.py'),
            work_dir=str(tmp_path / name),
            data_root=str(data_root),
            cfg_options=[
                f'train_dataloader.num_workers={num_workers}',
                'train_dataloader.dataset.max_unreadable=0.6',
                'train_dataloader.dataset.unfit=skip',
            ],
        )
        cfg.model.img_size, cfg.model.backbone = 64, tiny_vit()
        cfg.train_dataloader.update(batch_size=8, drop_last=False)
        cfg.train_dataloader.dataset.pipeline[1].size = 64
        cfg.train_cfg.max_epochs = 3
        cfg.param_scheduler.warmup = 1
        cfg.custom_hooks = [dict(type='NoteSamples'), dict(type='UnreadableImagesHook')]
        cfg.log_level = 'ERROR'
        cfg.experiment_name = f'{tmp_path.name}-{name}-{time.monotonic_ns()}'
        return cfg

    return make


def test_the_table_is_large_enough():
    assert len(DAMAGED) >= 25
    assert len(ODD) >= 25


def test_every_kind_is_used_or_listed_with_its_reason(config, tmp_path, photographs):
    """With no worker and with two: every bad file is listed, every good one used, and the samples are the same."""
    bad, good = make_folder(tmp_path / 'images', photographs)
    paths = {}
    for num_workers in (0, 2):
        runner = train(config(tmp_path / 'images', f'workers_{num_workers}', num_workers))
        paths[num_workers] = next(hook.paths for hook in runner.hooks if isinstance(hook, NoteSamples))
        work_dir = Path(runner.work_dir)
        rows = [line.split('\t') for line in (work_dir / 'unreadable_images.txt').read_text().splitlines()]
        assert {path: kind for path, kind, _ in rows} == {printable(path): kind for path, kind in bad.items()}
        assert all(reason for _, _, reason in rows)
        summary = json.loads((work_dir / 'data_summary.json').read_text())
        assert summary['num_files'] == {'training': len(bad) + len(good)}
        assert summary['num_not_used'] == len(bad)
        assert {row['kind']: row['count'] for row in summary['not_used']} == {
            kind: list(bad.values()).count(kind) for kind in bad.values()
        }
        assert len(paths[num_workers]) == 3 * (len(bad) + len(good))
        assert set(paths[num_workers]) == good
        reasons = {Path(path).stem: reason for path, _, reason in rows}
        for name, words in {
            'web page': 'HTML', 'Git LFS pointer': 'git lfs pull', 'HEIC': 'convert', 'empty': 'empty',
            'broken link': 'nowhere.jpg', 'huge file': 'max_bytes', 'decompression bomb, PNG': 'max_pixels',
            'five bands': 'channels', 'zeros': 'zeros', 'PostScript': 'not run',
        }.items():  # fmt: skip
            assert words in reasons[name]
    assert paths[0] == paths[2]
