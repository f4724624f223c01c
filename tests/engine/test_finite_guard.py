"""Steps that are not finite: against runs in which their batches never reached the optimiser."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from guard_runs import WEIGHT, Inject, assert_same, float_folder, guarded_run, state_of

from simmim_mm.engine.hooks.finite_guard import NotFiniteError
from simmim_mm.engine.newest import newest_checkpoint


@pytest.fixture
def folder(tmp_path):
    return float_folder(tmp_path / 'images')


def unguarded(cfg):
    cfg.default_hooks.pop('finite_guard')


def lines(work_dir) -> list[dict]:
    return [json.loads(line) for line in (work_dir / 'skipped_steps.jsonl').read_text().splitlines()]


OPTIMISERS = {
    'fused AdamW': dict(type='AdamW', lr=1e-2, weight_decay=0.05),
    'AdamW': dict(type='AdamW', lr=1e-2, weight_decay=0.05, fused=False),
    'fused SGD': dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.05),
    'SGD': dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.05, fused=False),
}


@pytest.mark.parametrize(
    ('where', 'optimiser', 'later'),
    [
        ('image', 'fused AdamW', False),
        ('gradient', 'fused AdamW', True),
        ('image', 'AdamW', True),
        ('gradient', 'AdamW', False),
        ('image', 'fused SGD', True),
        ('gradient', 'SGD', False),
    ],
)
def test_the_weights_are_those_without_the_batch(folder, tmp_path, where, optimiser, later):
    """The very first update and one in the middle, clipped by the norm, at each log line and to the last bit."""

    def change(cfg):
        cfg.optim_wrapper.optimizer = dict(OPTIMISERS[optimiser])

    read = [dict(type='ReadLater')] if later else []
    inject = dict(type='Inject', where=where, iterations=[0, 3])
    guarded = guarded_run(folder, tmp_path / 'guarded', inject, *read, change=change)
    guarded.train()

    def plain(cfg):
        change(cfg)
        unguarded(cfg)

    expected = guarded_run(folder, tmp_path / 'plain', dict(type='LeaveOut', iterations=[0, 3]), change=plain)
    expected.train()
    assert_same(guarded, expected)
    assert [line['iter'] for line in lines(tmp_path / 'guarded')] == [1, 4]


def test_without_a_guard_such_a_batch_spoils_the_weights(folder, tmp_path):
    """What the tests above would miss if the injection did nothing."""
    runner = guarded_run(folder, tmp_path / 'run', dict(type='Inject', where='gradient', iterations=[3]))
    runner.train()
    assert torch.isfinite(runner.model.get_parameter(WEIGHT)).all()
    runner = guarded_run(
        folder, tmp_path / 'plain', dict(type='Inject', where='gradient', iterations=[3]), change=unguarded
    )
    runner.train()
    assert not torch.isfinite(runner.model.get_parameter(WEIGHT)).any()


def test_a_guard_changes_nothing_else(folder, tmp_path):
    guarded = guarded_run(folder, tmp_path / 'guarded')
    guarded.train()
    plain = guarded_run(folder, tmp_path / 'plain', change=unguarded)
    plain.train()
    assert_same(guarded, plain)
    assert not (tmp_path / 'guarded' / 'skipped_steps.jsonl').exists()


@pytest.mark.parametrize(('clip', 'value'), [(None, float('nan')), (dict(type='value', clip_value=0.1), float('inf'))])
def test_infinite_gradients_are_found_before_they_are_clipped(folder, tmp_path, clip, value):
    """Clipping by value would make large numbers of infinities."""

    def change(cfg):
        cfg.optim_wrapper.clip_grad = clip

    def plain(cfg):
        change(cfg)
        unguarded(cfg)

    inject = dict(type='Inject', where='gradient', iterations=[2], value=value)
    guarded = guarded_run(folder, tmp_path / 'guarded', inject, change=change)
    guarded.train()
    expected = guarded_run(folder, tmp_path / 'plain', dict(type='LeaveOut', iterations=[2]), change=plain)
    expected.train()
    assert_same(guarded, expected)


@pytest.mark.parametrize('later', [False, True], ids=['at once', 'later'])
def test_an_update_of_several_batches_is_left_out_whole(folder, tmp_path, later):
    """The one with the NaN is the first of two; the report names its files alone."""

    def change(cfg):
        cfg.optim_wrapper.accumulative_counts = 2

    def plain(cfg):
        change(cfg)
        unguarded(cfg)

    read = [dict(type='ReadLater')] if later else []
    inject = dict(type='Inject', where='image', iterations=[2])
    guarded = guarded_run(folder, tmp_path / 'guarded', inject, *read, change=change)
    guarded.train()
    expected = guarded_run(folder, tmp_path / 'plain', dict(type='LeaveOut', iterations=[2, 3]), change=plain)
    expected.train()
    (hook,) = [hook for hook in guarded.hooks if isinstance(hook, Inject)]
    (line,) = lines(tmp_path / 'guarded')
    assert line['iter'] == 4
    assert line['not_finite'] == 'loss'
    assert line['files'] == {'0': hook.files[2]}
    assert_same(guarded, expected)


def test_what_is_said_of_a_step(folder, tmp_path, caplog):
    """Log, list, scalar and file name the iteration as the logger counts it, and the files that were read."""
    runner = guarded_run(folder, tmp_path / 'run', dict(type='Inject', where='image', iterations=[1, 4]))
    runner.logger.setLevel(logging.WARNING)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, Inject)]
    first, second = lines(tmp_path / 'run')
    assert first == {
        'iter': 2,
        'not_finite': 'loss',
        'in_a_row': 1,
        'num_skipped': 1,
        'files': {'0': hook.files[1]},
        'saved': str(tmp_path / 'run' / 'failed_batches' / 'iter_2.pth'),
    }
    assert (second['iter'], second['in_a_row'], second['num_skipped']) == (5, 1, 2)
    assert all(file.startswith(folder) for file in first['files']['0'])
    (warned, _) = [record.getMessage() for record in caplog.records if 'not finite' in record.getMessage()]
    assert 'Iteration 2: the loss is not finite, so this step is left out (1 in a row, 1 in all)' in warned
    assert hook.files[1][0] in warned
    assert f'python tools/replay_batch.py {first["saved"]}' in warned
    (scalars,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    logged = [json.loads(line).get('skipped_steps') for line in scalars.read_text().splitlines()]
    assert logged == [None, 1, 1, 1, 2, 2]


def test_a_run_whose_weights_are_not_finite_ends(folder, tmp_path):
    """After as many updates in a row as the option says, with what to do; a good one between begins anew."""

    def change(cfg):
        cfg.default_hooks.finite_guard.max_in_a_row = 3

    fine = guarded_run(
        folder, tmp_path / 'fine', dict(type='Inject', where='image', iterations=[0, 1, 3, 4]), change=change
    )
    fine.train()
    assert len(lines(tmp_path / 'fine')) == 4
    bad = guarded_run(folder, tmp_path / 'bad', dict(type='Inject', where='weight', iterations=[1]), change=change)
    with pytest.raises(
        NotFiniteError, match=rf'3 updates in a row .* iteration 4\..*such as {WEIGHT}.*--resume'
    ) as raised:
        bad.train()
    assert f'{tmp_path}/bad/failed_batches/iter_2.pth says where it begins' in str(raised.value)
    assert [line['in_a_row'] for line in lines(tmp_path / 'bad')] == [1, 2, 3]


@pytest.mark.parametrize(
    ('iterations', 'max_files', 'saved', 'kept'),
    [
        ([0, 2, 3, 4, 5], 2, [1, 3], [1, 3]),  # two rows, the second of four
        ([0, 1, 3, 5], 2, [1, 4, 6], [4, 6]),  # three rows
        ([0, 1, 3, 4], 1, [1, 4], [4]),
    ],
)
@pytest.mark.parametrize('later', [False, True], ids=['at once', 'later'])
def test_the_first_of_each_of_the_newest_rows_is_kept(folder, tmp_path, iterations, max_files, saved, kept, later):
    """The list names what was saved, and the files of the newest rows are there."""

    def change(cfg):
        cfg.default_hooks.finite_guard.update(max_files=max_files)

    read = [dict(type='ReadLater')] if later else []
    inject = dict(type='Inject', where='image', iterations=iterations)
    guarded_run(folder, tmp_path / 'run', inject, *read, change=change).train()
    names = sorted(path.name for path in (tmp_path / 'run' / 'failed_batches').iterdir())
    assert names == [f'iter_{number}.pth' for number in kept]
    named = [line['saved'] and int(Path(line['saved']).stem[5:]) for line in lines(tmp_path / 'run')]
    assert named == [iteration + 1 if iteration + 1 in saved else None for iteration in iterations]


def test_no_files_are_kept(folder, tmp_path):
    inject = dict(type='Inject', where='image', iterations=[0, 2, 3, 4, 5])

    def none(cfg):
        cfg.default_hooks.finite_guard.update(max_files=0)

    guarded_run(folder, tmp_path / 'none', inject, change=none).train()
    assert not (tmp_path / 'none' / 'failed_batches').exists()
    assert [line['saved'] for line in lines(tmp_path / 'none')] == [None] * 5


@pytest.mark.parametrize('later', [False, True], ids=['at once', 'later'])
def test_counts_go_on_after_a_resume(folder, tmp_path, later):
    """Two failures before, one after: the third in a row ends the run; resumed behind the bad batches, it goes on."""

    def change(cfg):
        cfg.default_hooks.finite_guard.max_in_a_row = 3
        cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', by_epoch=False, interval=2)

    read = [dict(type='ReadLater')] if later else []
    inject = dict(type='Inject', where='image', iterations=[2, 3, 4])
    first = guarded_run(folder, tmp_path / 'run', inject, *read, change=change)
    with pytest.raises(NotFiniteError, match='3 updates in a row'):
        first.train()
    last = newest_checkpoint(str(tmp_path / 'run'))
    assert last.endswith('iter_4.pth')
    assert torch.load(last, weights_only=False)['finite_guard'] == {'num_skipped': 2, 'in_a_row': 2}

    def resume(cfg):
        change(cfg)
        cfg.resume, cfg.load_from = True, last

    with pytest.raises(NotFiniteError, match=r'3 updates in a row .* iteration 5\.'):
        guarded_run(folder, tmp_path / 'run', inject, *read, change=resume).train()
    resumed = guarded_run(folder, tmp_path / 'run', *read, change=resume)
    resumed.train()
    whole = guarded_run(folder, tmp_path / 'whole', dict(type='Inject', where='image', iterations=[2, 3]))
    whole.train()
    assert_same(resumed, whole)


def test_batch_norms_forget_the_batch(folder, tmp_path):
    """Their averages would keep a NaN for good."""

    def change(cfg):
        cfg.model.backbone = dict(type='mmpretrain.ResNet', depth=18, base_channels=8)

    inject = dict(type='Inject', where='image', iterations=[2])
    guarded = guarded_run(folder, tmp_path / 'guarded', inject, iters=4, change=change)
    guarded.train()

    def plain(cfg):
        change(cfg)
        unguarded(cfg)

    expected = guarded_run(folder, tmp_path / 'plain', dict(type='LeaveOut', iterations=[2]), iters=4, change=plain)
    expected.train()
    assert any('running_mean' in key for key in state_of(guarded))
    assert_same(guarded, expected)


def test_another_optimiser_wrapper_is_warned_of(folder, tmp_path, caplog):
    def change(cfg):
        cfg.optim_wrapper.type = 'mmengine.OptimWrapper'
        cfg.optim_wrapper.pop('precision')

    runner = guarded_run(folder, tmp_path / 'run', iters=2, change=change)
    runner.logger.setLevel(logging.WARNING)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert 'FiniteGuardHook watches nothing: optim_wrapper is a OptimWrapper' in caplog.text
