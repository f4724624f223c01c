"""A run that is interrupted and resumed ends with the weights of one that was not, to the last bit."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from tiny import tiny_vit

from simmim_mm.atomic import damage_of
from simmim_mm.cli import user_errors
from simmim_mm.engine import PreemptionHook, SafeCheckpointHook
from simmim_mm.engine.checkpoints import read_checkpoint
from simmim_mm.engine.config import load_config
from simmim_mm.engine.hooks.iteration_seed import iteration_seed
from simmim_mm.engine.hooks.preemption import REQUEUE
from simmim_mm.engine.kill_test import KillTest, run_kill_test
from simmim_mm.engine.launch import train
from simmim_mm.engine.newest import newest_checkpoint

ROOT = Path(__file__).parents[2]
EPOCHS = dict(type='ResumableEpochLoop', max_epochs=3)
ARCH = dict(embed_dims=16, num_layers=3, num_heads=1, feedforward_channels=16)
ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=9, val_interval=100)


class Interrupted(Exception):
    """Stands for whatever ends a process."""


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class Interrupt(Hook):
    """Ends the run behind an iteration, after everything else."""

    priority = 'LOWEST'

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Raises."""
        if runner.iter + 1 == self.iteration:
            raise Interrupted


@pytest.fixture
def config(image_folder, tmp_path):
    """Three epochs of three batches, with everything that draws at random: crops, masks, drop path; and an average."""
    folder = image_folder(6)

    def make(name: str, loop: dict = EPOCHS, num_workers: int = 0, **settings) -> Config:
        cfg = load_config(str(ROOT / 'configs' / 'simmim_swin_base.py'), work_dir=str(tmp_path / name))
        cfg.model.img_size, cfg.model.backbone = 64, tiny_vit(arch=ARCH, drop_path_rate=0.5)
        cfg.train_dataloader.update(batch_size=2, num_workers=num_workers, persistent_workers=num_workers > 0)
        cfg.train_dataloader.pin_memory = False
        cfg.train_dataloader.dataset.data_root = folder
        cfg.train_dataloader.dataset.pipeline[1].size = 64
        cfg.train_cfg = dict(loop)
        if 'max_iters' in loop:
            cfg.train_dataloader.sampler.type = 'InfiniteSeededSampler'
            cfg.param_scheduler.by_epoch = cfg.param_scheduler.convert_to_iter_based = False
        cfg.param_scheduler.warmup = 1
        cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=1, rolling_interval=1)
        if 'max_iters' in loop:
            cfg.default_hooks.checkpoint.update(by_epoch=False, interval=100)
        cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
        cfg.log_level = 'ERROR'
        cfg.experiment_name = f'{tmp_path.name}-{name}-{time.monotonic_ns()}'
        cfg.merge_from_dict(settings)
        return cfg

    return make


def end_of(cfg: Config) -> dict[str, torch.Tensor]:
    """All tensors of the last checkpoint: weights, average, and the optimiser's."""
    last = newest_checkpoint(cfg.work_dir)
    state = torch.load(last, map_location='cpu', weights_only=False)
    moments = {
        f'{number}.{name}': torch.as_tensor(value)
        for number, values in state['optimizer']['state'].items()
        for name, value in values.items()
    }
    return state['state_dict'] | state['ema_state_dict'] | moments


def interrupted_at(make, iteration: int, name: str, **settings) -> dict[str, torch.Tensor]:
    """The end of a run that was interrupted once and resumed."""
    cfg = make(name, **settings)
    cfg.custom_hooks.append(dict(type='Interrupt', iteration=iteration))
    with pytest.raises(Interrupted):
        train(cfg)
    cfg = make(name, resume=True, **settings)
    train(cfg)
    return end_of(cfg)


@pytest.mark.parametrize('loop', [EPOCHS, ITERATIONS], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('iteration', [1, 3, 5])
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(config, loop, iteration):
    """At the beginning, between two epochs, in the middle of one; the second run begins with other states."""
    cfg = config('whole', loop=loop)
    train(cfg)
    expected = end_of(cfg)
    torch.manual_seed(1234)
    found = interrupted_at(config, iteration, 'interrupted', loop=loop)
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


@pytest.mark.parametrize(
    ('loop', 'change', 'words'),
    [
        (
            EPOCHS,
            {},
            r'9, and the run ends at iteration 9 \(train_cfg.max_epochs=3\); raise train_cfg.max_epochs',
        ),
        (
            EPOCHS,
            {'train_cfg.max_epochs': 2},
            r'9, and the run ends at iteration 6 \(train_cfg.max_epochs=2\)',
        ),
        (
            ITERATIONS,
            {'train_cfg.max_iters': 4},
            r'9, and the run ends at iteration 4 \(train_cfg.max_iters=4\)',
        ),
    ],
)
def test_a_run_with_nothing_left_to_do_says_so(config, loop, change, words, monkeypatch):
    messages = []
    monkeypatch.setattr('simmim_mm.engine.launch.print_log', lambda text, **_: messages.append(text))
    train(config('run', loop=loop))
    assert not any('Nothing was trained' in text for text in messages)
    runner = train(config('run', loop=loop, resume=True, **change))
    assert runner.iter == 9
    (message,) = (text for text in messages if 'Nothing was trained' in text)
    assert re.search(words, message)


def test_another_batch_is_warned_of_with_both_numbers(config):
    """Two images a batch, then three: the number of the iteration stays."""

    def with_record(**settings) -> Config:
        cfg = config('run', **settings)
        cfg.custom_hooks.append(dict(type='RunRecordHook'))
        return cfg

    train(with_record(**{'train_cfg.max_epochs': 2}))
    train(with_record(resume=True, **{'train_dataloader.batch_size': 3}))
    records = [json.loads(file.read_text()) for file in Path(config('run').work_dir).rglob('run_record.json')]
    changes = [record.get('changes') for record in records]
    (words,) = (found[0] for found in changes if found)
    assert words.startswith('2 -> 3 images of a batch, over all processes')


def test_the_number_of_workers_changes_nothing(config):
    """With two workers, interrupted in the middle of an epoch, against none and not interrupted."""
    cfg = config('whole')
    train(cfg)
    expected = end_of(cfg)
    found = interrupted_at(config, 5, 'interrupted', num_workers=2)
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


def test_gathered_gradients_are_never_cut_off(config):
    """They are in no checkpoint, so there is none between two updates."""
    settings = dict(loop=ITERATIONS, **{'optim_wrapper.accumulative_counts': 2})
    cfg = config('whole', **settings)
    train(cfg)
    expected = end_of(cfg)
    found = interrupted_at(config, 5, 'interrupted', **settings)
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


def test_killed_by_force_it_goes_on_as_if_nothing_had_happened(config, tmp_path):
    """The tool, with two kills."""
    path = tmp_path / 'config.py'
    cfg = config('unused', **{'default_hooks.checkpoint.rolling_interval': 2})
    cfg.pop('work_dir')
    cfg.dump(path)
    result = run_kill_test(
        KillTest(ROOT / 'tools' / 'train.py', str(path), tmp_path / 'kills', say=lambda text: None), kills=2, seed=1
    )
    assert result['kills'] == 2
    assert not list((tmp_path / 'kills').rglob('*.draft'))
    assert result['differing'] == 0


def test_a_damaged_checkpoint_is_passed_over(config, caplog):
    """Cut off, and with one wrong bit."""
    cfg = config('run', **{'default_hooks.checkpoint.max_keep_ckpts': 5})
    train(cfg)
    whole, cut, bent = (Path(cfg.work_dir) / f'epoch_{number}.pth' for number in (1, 2, 3))
    (Path(cfg.work_dir) / 'latest.pth').unlink()
    content = bytearray(bent.read_bytes())
    cut.write_bytes(content[: len(content) // 2])
    content[len(content) // 2] ^= 1
    bent.write_bytes(content)
    assert damage_of(whole) is None
    assert 'checksum' in damage_of(bent) or 'CRC' in damage_of(bent)
    assert newest_checkpoint(cfg.work_dir) == str(whole)
    resumed = config('run', resume=True, **{'default_hooks.checkpoint.max_keep_ckpts': 5})
    train(resumed)
    assert damage_of(bent) is None


def test_of_damaged_checkpoints_alone_the_best_one_is_named(tmp_path):
    """It is not taken: it may be much older."""
    (tmp_path / 'latest.pth').write_bytes(b'')
    with pytest.raises(ValueError, match=r'none of the 1 newest checkpoints in .* is whole; delete them'):
        newest_checkpoint(str(tmp_path))
    torch.save({}, tmp_path / 'best_val_hidden_l1_iter_20.pth')
    with pytest.raises(ValueError, match=r'with --resume .*best_val_hidden_l1_iter_20\.pth, or delete them'):
        newest_checkpoint(str(tmp_path))


def test_ctrl_c_is_one_line_and_waits_for_no_worker(capsys):
    child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
    child.start()
    with pytest.raises(SystemExit) as end, user_errors():
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == '\ninterrupted\n'
    child.join(5)
    assert child.exitcode == -signal.SIGKILL


def test_the_old_checkpoint_is_removed_after_the_new_one_is_there(config, monkeypatch):
    """A write that fails leaves the one before; MMEngine's hook removes it first."""
    cfg = config('run', **{'default_hooks.checkpoint.rolling_interval': None})
    write = Path.write_bytes

    def fill_up(path, content):
        if 'epoch_2' in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, 'write_bytes', fill_up)
    with pytest.raises(RuntimeError, match=r'epoch_2\.pth.*No space left.*MiB.*max_keep_ckpts.*--resume'):
        train(cfg)
    assert [path.name for path in Path(cfg.work_dir).glob('*.pth')] == ['epoch_1.pth']
    monkeypatch.undo()
    left = Path(cfg.work_dir) / 'epoch_2-draft-x1.draft'
    left.write_bytes(b'half')
    train(config('run', resume=True))
    assert not left.exists()
    assert (Path(cfg.work_dir) / 'epoch_3.pth').exists()
    assert not (Path(cfg.work_dir) / 'epoch_1.pth').exists()


def test_a_signal_ends_the_run_with_a_checkpoint_and_a_code_of_its_own(config, tmp_path):
    """To the whole process group, workers included, as a cluster sends it; then it is resumed to the same end."""
    settings = {'default_hooks.checkpoint.rolling_interval': None, 'train_cfg.max_epochs': 15}
    whole = config('whole', num_workers=1, **settings)
    train(whole)
    cfg = config('unused', num_workers=1, **settings)
    cfg.pop('work_dir')
    cfg.dump(tmp_path / 'config.py')
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(tmp_path / 'config.py')]
    command += ['--work-dir', str(tmp_path / 'run'), '--resume']
    env = os.environ | {'OMP_NUM_THREADS': '1'}  # as here: sums of several threads are rounded differently
    process = subprocess.Popen(
        command, env=env, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / 'run' / 'epoch_2.pth').exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == REQUEUE, output[-3000:]
    state = torch.load(tmp_path / 'run' / 'latest.pth', weights_only=False)
    assert 6 <= state['meta']['iter'] < 45
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=300)
    expected, found = (read_checkpoint(newest_checkpoint(folder)) for folder in (whole.work_dir, str(tmp_path / 'run')))
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


def test_seeds_of_iterations_differ_and_repeat():
    seeds = {iteration_seed(seed, step, rank) for seed in range(3) for step in range(50) for rank in range(4)}
    assert len(seeds) == 600
    assert iteration_seed(1, 2, 3) == iteration_seed(1, 2, 3)


@pytest.mark.parametrize('signals', ['SIGTERM', ['SIGNONE'], [15]])
def test_signals_that_there_are_not(signals):
    with pytest.raises(ValueError, match='must be names of signals'):
        PreemptionHook(signals=signals)


@pytest.mark.parametrize('interval', [0, 2.5, True])
def test_an_interval_is_a_whole_number(interval):
    with pytest.raises(ValueError, match='rolling_interval=.* must be a whole number from 1'):
        SafeCheckpointHook(rolling_interval=interval)


@pytest.mark.parametrize('folder', ['.', 'runs', 'runs/..'])
def test_kill_tests_remove_no_config_and_no_place_that_is_worked_in(tmp_path, monkeypatch, folder):
    (tmp_path / 'runs').mkdir()
    (tmp_path / 'runs' / 'config.py').write_text('')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='what is in the folder is removed; name another'):
        run_kill_test(KillTest(ROOT / 'tools' / 'train.py', 'runs/config.py', Path(folder)), kills=1)
    assert (tmp_path / 'runs' / 'config.py').is_file()
