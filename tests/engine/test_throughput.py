"""Images a second and waiting for data, by a clock that the loader, the step and hooks move on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from processes import in_processes
from step_runs import tiny_config, tiny_run

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.engine.launch import build_runner
from simmim_mm.models import SimMIM

KEYS = {'images_per_s', 'data_wait', 'host_memory'}
CLOCK = 'simmim_mm.engine.hooks.throughput.time'


def rows(work_dir: Path) -> list[dict]:
    """What was logged in training."""
    lines = [
        line for path in sorted(work_dir.glob('*/vis_data/scalars.json')) for line in path.read_text().splitlines()
    ]
    return [row for row in map(json.loads, lines) if 'loss' in row]


class Clock:
    """Stands still, but where something is said to take its time."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        """What hooks ask."""
        return self.now

    def install(self, patch: pytest.MonkeyPatch, sample: float = 0.0, step: float = 0.0, validation: float = 0.0):
        """Says what one sample, one step and one batch of a validation take, in seconds."""
        patch.setattr(CLOCK, SimpleNamespace(perf_counter=self.perf_counter))
        load, validate = UnlabelledImages.__getitem__, SimMIM.val_step

        def slow_load(dataset, index):
            self.now += sample
            return load(dataset, index)

        def slow_step(model, data, optim_wrapper):
            self.now += step
            return {'loss': torch.tensor(1.0)}

        def slow_validation(model, data):
            self.now += validation
            return validate(model, data)

        patch.setattr(UnlabelledImages, '__getitem__', slow_load)
        patch.setattr(UnlabelledImages, '__getitems__', lambda dataset, indices: [dataset[index] for index in indices])
        patch.setattr(SimMIM, 'train_step', slow_step)
        patch.setattr(SimMIM, 'val_step', slow_validation)


class Slow(Hook):
    """Takes its time after each iteration, as one that writes a large checkpoint does."""

    priority = 'VERY_LOW'

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Moves the clock on."""
        self.clock.now += self.seconds


def without_updates(cfg: Config) -> None:
    cfg.param_scheduler = None


def test_a_slow_loader_is_told_from_slow_hooks(tmp_path, image_folder, monkeypatch):
    """0.2 s for each of 2 images, 0.3 for the step, 0.3 in a hook: 0.4 of 1.0 s are waiting."""
    clock = Clock()
    clock.install(monkeypatch, sample=0.2, step=0.3)
    runner = tiny_run(image_folder(20), tmp_path / 'loader', iters=9, change=without_updates)
    runner.register_hook(Slow(clock, 0.3))
    runner.train()
    logged = rows(tmp_path / 'loader')
    assert [row['step'] for row in logged] == [3, 6, 9]
    for row in logged:
        assert row['images_per_s'] == pytest.approx(2.0)
        assert row['data_wait'] == pytest.approx(0.4)
        assert row['host_memory'] > 50


def test_validation_counts_for_neither(tmp_path, image_folder, monkeypatch):
    """30 s behind every second iteration."""
    Clock().install(monkeypatch, sample=0.1, step=0.3, validation=30)

    def change(cfg):
        without_updates(cfg)
        cfg.val_dataloader = dict(cfg.train_dataloader, drop_last=False, batch_size=4)
        cfg.val_dataloader['sampler'] = dict(type='SeededSampler', shuffle=False, seed=0)
        cfg.val_evaluator, cfg.val_cfg = dict(type='MaskedReconstructionMetric'), {}
        cfg.train_cfg.val_interval = 2

    tiny_run(image_folder(4), tmp_path / 'validated', iters=6, change=change).train()
    for row in rows(tmp_path / 'validated'):
        assert row['images_per_s'] == pytest.approx(2 / 0.5)
        assert row['data_wait'] == pytest.approx(0.2 / 0.5)


def test_epochs_of_any_length(tmp_path, image_folder, monkeypatch):
    """Four iterations an epoch, logged behind every third and, by MMEngine's rule, not at the end."""
    Clock().install(monkeypatch, sample=0.1, step=0.3)

    def change(cfg):
        without_updates(cfg)
        cfg.train_cfg = dict(type='ResumableEpochLoop', max_epochs=3)

    tiny_run(image_folder(8), tmp_path / 'epochs', change=change).train()
    logged = rows(tmp_path / 'epochs')
    assert [row['step'] for row in logged] == [3, 7, 11]
    assert [row['images_per_s'] for row in logged] == pytest.approx([2 / 0.5] * 3)


def test_gathering_gradients_changes_nothing(tmp_path, image_folder, monkeypatch):
    Clock().install(monkeypatch, sample=0.1, step=0.3)
    change = lambda cfg: (without_updates(cfg), cfg.optim_wrapper.update(accumulative_counts=2))  # noqa: E731
    tiny_run(image_folder(14), tmp_path / 'gathered', iters=6, change=change).train()
    assert [row['images_per_s'] for row in rows(tmp_path / 'gathered')] == pytest.approx([4.0, 4.0])


def test_a_resumed_run_begins_anew(tmp_path, image_folder):
    """The speed of another machine would be logged as one's own, until there is a first one."""

    def change(cfg):
        cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', by_epoch=False, interval=100, rolling_interval=3)

    tiny_run(image_folder(14), tmp_path / 'saved', iters=3, change=change).train()
    state = torch.load(tmp_path / 'saved' / 'latest.pth', weights_only=False)['message_hub']
    assert 'train/images_per_s' in state['log_scalars']

    def resumed(cfg):
        change(cfg)
        cfg.resume, cfg.load_from = True, str(tmp_path / 'saved' / 'latest.pth')
        cfg.default_hooks.logger.interval = 1

    tiny_run(image_folder(14), tmp_path / 'resumed', iters=6, change=resumed).train()
    first, *others = rows(tmp_path / 'resumed')
    assert first['step'] == 4
    assert not KEYS & first.keys()
    assert all(row.keys() >= KEYS for row in others)


def _train_in_one_of_two(folder: str, work_dir: Path) -> None:
    torch.distributed.init_process_group('gloo')
    with pytest.MonkeyPatch.context() as patch:
        Clock().install(patch, sample=0.2 * torch.distributed.get_rank(), step=0.3)
        patch.setattr(
            'mmengine.model.MMDistributedDataParallel.train_step',
            lambda wrapper, data, optim_wrapper: wrapper.module.train_step(data, optim_wrapper),
        )
        build_runner(
            tiny_config(
                folder, work_dir, iters=6, change=lambda cfg: (without_updates(cfg), cfg.update(launcher='pytorch'))
            )
        ).train()


def test_images_of_all_processes_count_and_their_waits_are_averaged(tmp_path, image_folder):
    """Two images in 0.3 s, and two in 0.7 s, 0.4 of them waiting."""
    in_processes(2, _train_in_one_of_two, image_folder(16), tmp_path / 'two')
    logged = rows(tmp_path / 'two')
    assert len(logged) == 2
    for row in logged:
        assert row['images_per_s'] == pytest.approx(2 / 0.3 + 2 / 0.7)
        assert row['data_wait'] == pytest.approx((0 + 0.4 / 0.7) / 2)
