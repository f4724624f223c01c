"""Two runs never train in one work dir at the same time; a killed one does not keep it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from mmengine.config import Config

from simmim_mm.engine import run_lock as module
from simmim_mm.engine.launch import train
from simmim_mm.engine.run_lock import FILE_NAME, run_lock


def hold(work_dir: str, ready, worker: bool) -> None:
    """Holds the lock until it is killed, with a worker that lives on or without."""
    with run_lock(dict(work_dir=work_dir)):
        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(20,))
        if worker:
            child.start()
        ready.put(child.pid)
        time.sleep(60)


@pytest.fixture
def holder():
    """Starts another process that holds the lock of a folder; its process, and the id of its worker."""
    context = multiprocessing.get_context('fork')
    left = []

    def start(work_dir: Path, worker: bool = False):
        ready = context.SimpleQueue()
        process = context.Process(target=hold, args=(str(work_dir), ready, worker))
        process.start()
        left.append(process.pid)
        child = ready.get()
        left.extend([child] if worker else [])
        return process, child

    yield start
    for number in left:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_a_second_run_is_refused_before_it_writes_anything(tmp_path, holder):
    """The message names the process that the system knows, its machine, its start, and the way out."""
    work_dir = tmp_path / 'run'
    process, _ = holder(work_dir)
    before = {path.name: path.read_bytes() for path in work_dir.iterdir()}
    began = time.monotonic()
    words = rf'run.* in use by another run \(host {socket.gethostname()}, process {process.pid}, started 20.*--work-dir'
    with pytest.raises(ValueError, match=words):
        train(Config(dict(work_dir=str(work_dir), model=dict(type='None'))))
    assert time.monotonic() - began < 5
    assert {path.name: path.read_bytes() for path in work_dir.iterdir()} == before
    assert list(before) == [FILE_NAME]


def test_a_killed_run_gives_its_folder_free_though_a_worker_lives_on(tmp_path, holder):
    process, worker = holder(tmp_path, worker=True)
    process.kill()
    process.join()
    os.kill(worker, 0)  # is there
    with run_lock(dict(work_dir=str(tmp_path))):
        assert json.loads((tmp_path / FILE_NAME).read_text())['pid'] == os.getpid()


def test_an_error_gives_the_folder_free(tmp_path):
    cfg = dict(work_dir=str(tmp_path))
    with pytest.raises(KeyError), run_lock(cfg):
        raise KeyError
    with run_lock(cfg), pytest.raises(ValueError, match=f'process {os.getpid()}'), run_lock(cfg):
        pytest.fail('held twice')
    with run_lock(cfg):
        pass


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_of_several_processes_the_first_holds_it(tmp_path, monkeypatch, launcher):
    """They share the folder, and have no process group yet."""
    names = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
    cfg = dict(work_dir=str(tmp_path), launcher=launcher)
    monkeypatch.setenv(names[launcher], '0')
    with run_lock(cfg):
        assert (tmp_path / FILE_NAME).exists()
        monkeypatch.setenv(names[launcher], '1')
        with run_lock(cfg):
            pass
        monkeypatch.setenv(names[launcher], '0')
        with pytest.raises(ValueError, match='in use'), run_lock(cfg):
            pytest.fail('held twice')


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_a_warning_says_so(tmp_path, monkeypatch, number):
    messages = []
    monkeypatch.setattr(module, 'print_log', lambda text, **_: messages.append(text))

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.fcntl, 'flock', refuse)
    with run_lock(dict(work_dir=str(tmp_path))):
        pass
    assert len(messages) == 1
    assert f'cannot be locked: {os.strerror(number)}' in messages[0]
    assert '--work-dir' in messages[0]


@pytest.mark.parametrize(
    ('place', 'words'),
    [('file', 'is a file, not a folder'), ('file/below', 'Not a directory'), ('/proc/simmim_mm', 'cannot be written')],
)
def test_a_work_dir_that_cannot_be_written_to_is_one_line(tmp_path, monkeypatch, place, words):
    """Before anything is built."""
    (tmp_path / 'file').touch()
    monkeypatch.setattr('simmim_mm.engine.launch.build_runner', lambda cfg: pytest.fail('something was built'))
    with pytest.raises(ValueError, match=rf'work_dir=.*{words}.*--work-dir'):
        train(Config(dict(work_dir=str(tmp_path / place), model=dict(type='None'))))


def test_a_read_only_file_system_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(module.os, 'open', refuse)
    with pytest.raises(ValueError, match='cannot be written to: Read-only file system'), run_lock({'work_dir': '.'}):
        pytest.fail('went on')
