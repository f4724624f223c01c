"""Runs whose images are decoded by the data preprocessor."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from guard_runs import Inject
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image
from step_runs import logged, tiny_config
from tiny import tiny_vit

from simmim_mm.datasets import unused_files
from simmim_mm.datasets.encoded import EncodedImages
from simmim_mm.engine.guards.failed_batch import KEY, read_failed_batch
from simmim_mm.engine.guards.replay import replay
from simmim_mm.engine.held_out import hold_out
from simmim_mm.engine.launch import train

NUMBERS = itertools.count()


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class NoteBatches(Hook):
    """Keeps what the loader handed out."""

    def __init__(self) -> None:
        self.batches: list[dict] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Adds a batch."""
        self.batches.append(data_batch)


@pytest.fixture
def run(tmp_path, photographs):
    """Trains a ViT of one layer on JPEG files of 200x160 pixels; the Runner, and what its hook kept."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for number in range(8):
        image = Image.fromarray(photographs[('coffee', 'rocket')[number % 2]])
        image.crop((10 * number, 0, 10 * number + 300, 240)).resize((200, 160)).save(
            folder / f'{number}.jpg', quality=95
        )

    def start(decode='device', *hooks, change=None, iters=4):
        def prepare(cfg):
            cfg.model.backbone = tiny_vit()
            cfg.train_dataloader.dataset.decode = decode
            cfg.train_dataloader.sampler.type = 'InfiniteSeededSampler'
            cfg.param_scheduler.by_epoch = cfg.param_scheduler.convert_to_iter_based = False
            cfg.param_scheduler.warmup = 1
            cfg.default_hooks.logger.interval = 1
            cfg.custom_hooks = [*cfg.custom_hooks, dict(type='NoteBatches'), *hooks]
            if change is not None:
                change(cfg)

        number = next(NUMBERS)
        cfg = tiny_config(str(folder), tmp_path / f'{decode}-{number}', iters, prepare)
        cfg.experiment_name = f'decoding-{tmp_path.name}-{number}'  # a message hub of its own
        runner = train(cfg)
        (noted,) = [hook for hook in runner.hooks if isinstance(hook, NoteBatches)]
        return runner, noted.batches

    return start


def test_the_run_is_that_of_workers(run):
    """The same files and masks, losses within what rounding of pixels makes; validation and pictures included."""

    def change(cfg):
        hold_out(cfg, 0.3, 'config')
        cfg.train_cfg.val_interval = 2
        cfg.train_dataloader.update(num_workers=1, pin_memory=False)
        cfg.custom_hooks.append(dict(type='ReconstructionHook', interval=0, num_images=2))

    (device, batches), (worker, expected) = (run(decode, change=change) for decode in ('device', 'worker'))
    assert all(isinstance(batch['inputs'], EncodedImages) for batch in batches)
    assert [batch['img_path'] for batch in batches] == [batch['img_path'] for batch in expected]
    rows, others = logged(Path(device.work_dir)), logged(Path(worker.work_dir))
    assert len(rows) == len(others) == 6  # four of training, two of validation
    for row, other in zip(rows, others, strict=True):
        assert row.keys() == other.keys()
        for key, value in row.items():
            assert value == pytest.approx(other[key], rel=2e-2), key
    pictures = [np.asarray(Image.open(f'{each.work_dir}/reconstructions/iter_4.png')) for each in (device, worker)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 2


def test_a_failed_batch_holds_what_the_run_saw(run):
    """Pixels, as the preprocessor decoded them: replayed without the files and without their decoder."""
    inject = dict(type='Inject', where='weight', iterations=[1])

    def change(cfg):
        cfg.default_hooks.finite_guard.max_in_a_row = 5

    runner, batches = run('device', inject, change=change, iters=2)
    path = f'{runner.work_dir}/failed_batches/iter_2.pth'
    (saved,) = read_failed_batch(path)[KEY]['batches']
    assert saved['inputs'].dtype == torch.uint8
    seen = runner.model.data_preprocessor(batches[1])['inputs']
    assert torch.equal(runner.model.data_preprocessor(saved)['inputs'], seen)
    assert replay(path).culprit.what.startswith('weights: ')


def _damage(path):
    """Breaks the first table of codes, which only a decoder notices."""
    data = bytearray(path.read_bytes())
    at = data.index(b'\xff\xc4')
    data[at + 5 : at + 21] = b'\xff' * 16
    path.write_bytes(data)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_damaged_files_are_named_by_what_took_their_place(run, tmp_path, num_workers):
    """In the list of steps and in what is saved: of eight files two are damaged, in batches of two and of one."""
    inject = dict(type='Inject', where='weight', iterations=[0, 1, 2, 3, 4, 5, 6, 7])
    damaged = {str(tmp_path / 'images' / f'{number}.jpg') for number in (2, 5)}

    def change(cfg, size):
        cfg.default_hooks.finite_guard.update(max_in_a_row=50, max_files=1)
        cfg.default_hooks.unreadable_images = dict(type='UnreadableImagesHook')
        cfg.train_dataloader.update(batch_size=size, num_workers=num_workers)

    for path in damaged:
        _damage(Path(path))
    for size in (2, 1):
        runner, batches = run('device', inject, change=partial(change, size=size), iters=8)
        met = [path for hook in runner.hooks if isinstance(hook, Inject) for row in hook.files.values() for path in row]
        assert damaged <= set(met)
        lines = Path(runner.work_dir, 'skipped_steps.jsonl').read_text().splitlines()
        named = [json.loads(line)['files']['0'] for line in lines]
        assert named == [batch['img_path'] for batch in batches]
        assert not damaged & {path for row in named for path in row}
        for before, after in zip(met, [path for row in named for path in row], strict=True):
            assert (before == after) == (before not in damaged)
        (saved,) = read_failed_batch(f'{runner.work_dir}/failed_batches/iter_1.pth')[KEY]['batches']
        assert saved['img_path'] == named[0]
        listed = unused_files.read(f'{runner.work_dir}/unreadable_images.txt')
        assert {unused.path for unused in listed} == damaged


def test_validation_counts_what_took_the_place_once(run, tmp_path):
    """Metrics as if the damaged file were not there, in batches of one and of two."""
    folder = tmp_path / 'images'

    def change(cfg, size=1):
        cfg.val_dataloader = dict(
            batch_size=size,
            num_workers=0,
            collate_fn=dict(type='simmim_mm.stack_samples'),
            sampler=dict(type='simmim_mm.SeededSampler', shuffle=False, seed=0),
            dataset={**cfg.train_dataloader.dataset, 'fixed': True},
        )
        cfg.val_cfg, cfg.val_evaluator = {}, dict(type='MaskedReconstructionMetric')
        cfg.train_cfg.val_interval = 2
        cfg.train_dataloader.dataset.list_file = str(listing)

    listing = tmp_path / 'sound.txt'
    listing.write_text('0.jpg\n1.jpg\n3.jpg\n')
    _damage(folder / '2.jpg')
    found = [run(change=partial(change, size=size), iters=2)[0] for size in (1, 2)]
    (folder / '2.jpg').unlink()
    found.append(run(change=change, iters=2)[0])
    (one, two, without) = ([row for row in logged(Path(each.work_dir)) if 'val/hidden_l1' in row] for each in found)
    assert len(without) == 1
    for rows in (one, two):
        assert rows[0] == pytest.approx(without[0], rel=1e-5)


def test_what_cannot_work_is_said_before_the_first_step(run, monkeypatch):
    """Data sets of data sets, preprocessors of others; on a CPU it works, and is warned of."""

    def repeated(cfg):
        loader = cfg.train_dataloader
        loader.dataset = dict(type='RepeatDataset', times=2, dataset=loader.dataset)

    with pytest.raises(ValueError, match='in train_dataloader needs whole batches, and RepeatDataset takes single'):
        run(change=repeated)
    said = []
    monkeypatch.setattr('simmim_mm.engine.preflight.print_log', lambda text, **_: said.append(text))
    run(iters=2)
    assert any('the model is on the CPU, so the main process decodes' in text for text in said)

    def refuse(device):
        raise ValueError(f'{device} has no decoder')

    monkeypatch.setattr('simmim_mm.engine.preflight.check_device', refuse)
    with pytest.raises(ValueError, match='cpu has no decoder'):
        run()
    monkeypatch.setattr('simmim_mm.engine.preflight.MaskedImagePreprocessor', int)
    with pytest.raises(ValueError, match='model.data_preprocessor is a (HostMask|MaskedImage)Preprocessor; change it'):
        run()
