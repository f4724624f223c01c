"""Files that vanish, workers that die or hang: one clear message, and a run that goes on exactly."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from odd_images import encoded
from PIL import Image
from test_resume import config, end_of, interrupted_at  # noqa: F401  (a fixture among them)

from simmim_mm.cli import user_errors
from simmim_mm.datasets import TooManyUnreadableImagesError
from simmim_mm.datasets.transforms.reading import read_file
from simmim_mm.engine.hooks import DataWaitHook
from simmim_mm.engine.launch import LOADER_TIMEOUT, build_runner, train
from simmim_mm.engine.loader_failures import LoaderError, explained_failures
from simmim_mm.engine.newest import newest_checkpoint


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class Disturb(Hook):
    """Does something behind an iteration, and keeps the files of all batches."""

    priority = 'LOWEST'
    # By the iteration; a config holds no functions.
    deeds: ClassVar[dict[int, Callable[[], object]]] = {}

    def __init__(self) -> None:
        self.paths: list[list[str]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Does what is due."""
        self.paths.append([Path(path).name for path in data_batch['img_path']])
        self.deeds.get(runner.iter + 1, lambda: None)()


@pytest.fixture
def disturbed(monkeypatch):
    """Makes a run do something behind some of its iterations."""

    def change(cfg, deeds) -> None:
        monkeypatch.setattr(Disturb, 'deeds', deeds)
        cfg.custom_hooks = [dict(type='Disturb'), *cfg.custom_hooks]

    return change


def rows_of(cfg) -> list[list[str]]:
    text = (Path(cfg.work_dir) / 'unreadable_images.txt').read_text()
    return [line.split('\t') for line in text.splitlines()]


def send(number: int, spared: Collection[int] = ()):
    """Sends a signal to the workers of the loader."""

    def deed() -> None:
        for child in multiprocessing.active_children():
            if child.pid not in spared:
                os.kill(child.pid, number)

    return deed


def spoil(folder: str) -> None:
    """Three more files, none of which is used: cut off, blank, of no channels that fit; and a link to nowhere."""
    photograph = np.asarray(Image.open(f'{folder}/000.png'))
    data = encoded(photograph, 'JPEG')
    Path(folder, 'cut.jpg').write_bytes(data[: len(data) // 2])
    Image.new('RGB', (70, 80), 'green').save(f'{folder}/blank.png')
    np.save(f'{folder}/floats.npy', np.ones((9, 9, 3), np.float32))
    Path(folder, 'link.png').symlink_to('nowhere.png')


@pytest.mark.parametrize('iteration', [1, 4])
def test_a_resumed_run_replaces_what_it_cannot_read_by_the_same_images(config, iteration):  # noqa: F811
    """Interrupted, with two workers that know nothing of what was known before; against none and no interruption."""
    settings = {'train_dataloader.dataset.max_unreadable': 0.5, 'train_dataloader.dataset.unfit': 'skip'}
    cfg = config('whole', **settings)
    spoil(cfg.train_dataloader.dataset.data_root)
    train(cfg)
    expected = end_of(cfg)
    found = interrupted_at(config, iteration, 'interrupted', num_workers=2, **settings)
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    work_dirs = [Path(cfg.work_dir), Path(cfg.work_dir).parent / 'interrupted']
    kinds = [
        {row['kind'] for row in json.loads((each / 'data_summary.json').read_text())['not_used']} for each in work_dirs
    ]
    assert kinds[0] == kinds[1] == {'damaged or cut off', 'blank', 'does not fit the settings', 'missing'}


def test_files_may_vanish_and_come_back(config, disturbed):  # noqa: F811
    """Of three epochs of three batches, the second lacks a file: it is replaced, listed once, and used in the third."""
    cfg = config('run', **{'train_dataloader.dataset.max_unreadable': 0.3})
    path = Path(cfg.train_dataloader.dataset.data_root) / '002.png'
    aside = path.with_suffix('.aside')
    disturbed(cfg, {3: lambda: path.rename(aside), 6: lambda: aside.rename(path)})
    runner = train(cfg)
    batches = next(hook.paths for hook in runner.hooks if isinstance(hook, Disturb))
    epochs = [[name for batch in batches[start : start + 3] for name in batch] for start in (0, 3, 6)]
    assert ['002.png' in epoch for epoch in epochs] == [True, False, True]
    assert [len(epoch) for epoch in epochs] == [6, 6, 6]
    assert rows_of(cfg) == [[str(path), 'missing', 'No such file or directory']]
    assert not runner.train_dataloader.dataset.unreadable.any()


def test_permission_may_be_lost(config, disturbed, monkeypatch):  # noqa: F811
    """The operating system says no, as it does not to root."""
    cfg = config('run', **{'train_dataloader.dataset.max_unreadable': 0.3})
    path = os.path.join(cfg.train_dataloader.dataset.data_root, '001.png')
    real = os.open

    def refuse(name, *args, **kwargs):
        if name == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        return real(name, *args, **kwargs)

    disturbed(cfg, {4: lambda: monkeypatch.setattr(os, 'open', refuse)})
    train(cfg)
    assert rows_of(cfg) == [[path, 'no permission', 'Permission denied']]


def test_storage_that_is_gone_stops_the_run_with_a_hint(config, disturbed, capsys):  # noqa: F811
    """And the summary is there, and the last checkpoint."""
    cfg = config('run')
    disturbed(cfg, {4: lambda: shutil.rmtree(cfg.train_dataloader.dataset.data_root)})
    with pytest.raises(SystemExit) as ended, user_errors():
        train(cfg)
    assert ended.value.code == 2
    output = capsys.readouterr().err
    assert 'error: 2 of the 6 images' in output
    assert 'were not there or out of reach: look whether the storage is mounted' in output
    assert json.loads((Path(cfg.work_dir) / 'data_summary.json').read_text())['num_not_used'] == 2
    assert newest_checkpoint(cfg.work_dir).endswith('latest.pth')


def test_a_worker_that_is_killed_ends_the_run_with_advice_and_it_resumes_exactly(config, disturbed, capsys):  # noqa: F811
    """SIGKILL, as for want of memory, in the middle of the second epoch."""
    whole = config('whole')
    train(whole)
    expected = end_of(whole)
    cfg = config('run', num_workers=1)
    disturbed(cfg, {4: send(signal.SIGKILL)})
    with pytest.raises(SystemExit) as ended, user_errors():
        train(cfg)
    assert ended.value.code == 2
    output = capsys.readouterr().err
    for words in ('error: a worker of the data loader', 'memory', 'num_workers (now 1)', 'opened last', '--resume'):
        assert words in output
    assert 'latest.pth is whole' in output
    resumed = config('run', num_workers=1, resume=True)
    train(resumed)
    found = end_of(resumed)
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


def test_a_worker_that_hangs_ends_the_run(config, disturbed, tmp_path, monkeypatch):  # noqa: F811
    """Waiting for storage that never answers; it is not waited for afterwards."""
    gone = tmp_path / 'gone'
    before = {child.pid for child in multiprocessing.active_children()}  # of other tests

    def read(*args):
        while gone.exists():
            time.sleep(1)
        return read_file(*args)

    monkeypatch.setattr('simmim_mm.datasets.transforms.loading.read_file', read)
    cfg = config('run', num_workers=1, **{'train_dataloader.timeout': 5})
    disturbed(cfg, {4: gone.touch})
    with pytest.raises(LoaderError, match=r'no batch came .* within 5 s.*opened last are .*\.png.*timeout.*--resume'):
        train(cfg)
    assert {child.pid for child in multiprocessing.active_children()} <= before


@pytest.mark.parametrize('together', [False, True], ids=['as another process', 'behind the last batch'])
def test_a_worker_that_is_stopped_ends_the_run(config, disturbed, together):  # noqa: F811
    """Its next batch may be on its way already, which PyTorch's time limit does not see; one message names it."""
    before = {child.pid for child in multiprocessing.active_children()}
    stopped = []

    def stop() -> None:
        if together:
            time.sleep(0.5)  # the worker has finished all that it was asked for
        stopped.extend(child.pid for child in multiprocessing.active_children() if child.pid not in before)
        send(signal.SIGSTOP, before)()

    cfg = config('run', num_workers=1, **{'train_dataloader.timeout': 2})
    disturbed(cfg, {4: stop})
    begin = time.monotonic()
    with pytest.raises(
        LoaderError, match=r'worker .* did not go on for 2 s: .*SIGSTOP.*opened last.*\.png.*--resume'
    ) as raised:
        train(cfg)
    assert time.monotonic() - begin < 30
    assert f'(process {stopped[0]})' in str(raised.value)
    assert {child.pid for child in multiprocessing.active_children()} <= before


def test_a_worker_that_is_stopped_for_a_moment_does_no_harm(config, disturbed):  # noqa: F811
    before = {child.pid for child in multiprocessing.active_children()}
    cfg = config('run', num_workers=1, **{'train_dataloader.timeout': 8})

    def stop() -> None:
        send(signal.SIGSTOP, before)()
        threading.Timer(1, send(signal.SIGCONT, before)).start()

    disturbed(cfg, {4: stop})
    assert train(cfg).iter == 9


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('DataLoader worker (pid 7) is killed by signal: Killed. ', ['process 7', 'want of memory', 'num_workers']),
        ('DataLoader worker (pid 7) is killed by signal: Segmentation fault. ', ['a decoder crashed', 'num_workers=0']),
        ('DataLoader worker (pid 7) is killed by signal: Terminated. ', ['outside of the run']),
        (
            'DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader\'s workers are '
            'out of shared memory. Please try to raise your shared memory limit.',
            ['--shm-size', 'num_workers'],
        ),
        ('DataLoader worker (pid(s) 7, 8) exited unexpectedly', ['process 7', 'want of memory']),
        ('unable to allocate shared memory(shm) for file </torch_1_2>: Resource unavailable', ['--shm-size']),
        ('unable to write to file </torch_1_2>: No space left on device (28)', ['--shm-size']),
        ('[Errno 24] Too many open files', ['ulimit -n']),
        ('received 0 items of ancdata', ['ulimit -n']),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else '',
)  # fmt: skip
def test_what_pytorch_says_is_explained(tmp_path, text, words):
    """Its messages, in a run without any checkpoint."""
    runner = SimpleNamespace(
        work_dir=str(tmp_path), train_dataloader=SimpleNamespace(num_workers=8), _train_loop=None, _val_loop=None
    )
    with pytest.raises(LoaderError) as raised, explained_failures(runner):
        raise RuntimeError(text)
    for word in (*words, 'no checkpoint yet'):
        assert word in str(raised.value)


@pytest.mark.parametrize(
    'error', [RuntimeError('CUDA out of memory'), TooManyUnreadableImagesError('shm'), ValueError()]
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, explained_failures(SimpleNamespace()):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ('settings', 'expected'), [(dict(num_workers=1), LOADER_TIMEOUT), (dict(num_workers=1, timeout=0), 0), ({}, 0)]
)
def test_workers_have_a_time_limit_unless_there_are_none(config, settings, expected):  # noqa: F811
    """Of one's own, or none, too."""
    cfg = config('run')
    cfg.train_dataloader.update(settings)
    assert build_runner(cfg).train_dataloader.timeout == expected


class Clock:
    """A run of which each part takes a time that is told, with windows of ten iterations."""

    def __init__(self, monkeypatch, **options):
        self.now, self.messages = 100.0, []
        monkeypatch.setattr('simmim_mm.engine.hooks.data_wait.time.monotonic', lambda: self.now)
        monkeypatch.setattr('simmim_mm.engine.hooks.data_wait.print_log', lambda text, **_: self.messages.append(text))
        self.hook = DataWaitHook(window=10, **options)
        loader = SimpleNamespace(num_workers=0, persistent_workers=False)
        self.runner = SimpleNamespace(train_dataloader=loader)
        self.hook.before_train(self.runner)

    def iterate(self, number: int, wait: float, step: float) -> list[str]:
        for _ in range(number):
            self.now += wait
            self.hook.before_train_iter(self.runner, 0)
            self.now += step
            self.hook.after_train_iter(self.runner, 0)
        return self.messages


def test_waiting_for_data_is_warned_of_once(monkeypatch):
    """0.3 of 1 s each, behind a first window that starts the workers; with the numbers and the advice."""
    clock = Clock(monkeypatch)
    assert not clock.iterate(10, wait=50.0, step=1.0)
    assert not clock.iterate(9, wait=0.3, step=0.7)
    (message,) = clock.iterate(1, wait=0.3, step=0.7)
    assert 'during 30 % of the last 10 iterations (0.300 of 1.000 s each)' in message
    assert 'num_workers is 0' in message
    assert len(clock.iterate(50, wait=0.3, step=0.7)) == 1
    clock.hook.before_train(clock.runner)
    assert len(clock.iterate(20, wait=0.3, step=0.7)) == 2


def test_validation_and_what_is_between_epochs_do_not_count(monkeypatch):
    """Nor do steps without much waiting."""
    clock = Clock(monkeypatch)
    clock.iterate(10, wait=0.1, step=0.9)
    for _ in range(20):
        clock.iterate(1, wait=0.1, step=0.9)
        clock.now += 100.0
        clock.hook.after_val(clock.runner)
        clock.now += 0.0
    clock.now += 100.0
    clock.hook.before_train_epoch(clock.runner)
    assert not clock.iterate(20, wait=0.15, step=0.85)
    assert clock.iterate(20, wait=0.25, step=0.75)
