"""What happened to the data loader, in words that say what to do."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.runner import Runner

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.engine.newest import newest_checkpoint
from simmim_mm.engine.stopped_workers import StoppedWorkers, stopped_workers, watched_workers

# PyTorch's words.
KILLED = re.compile(r'DataLoader worker \(pid (\d+)\) is killed by signal: ([^.]+)\.')
ENDED = re.compile(r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) exited unexpectedly')
TIMEOUT = re.compile(r'DataLoader timed out after ([\d.]+) seconds')
SHARED_MEMORY = re.compile(r'out of shared memory|insufficient shared memory|unable to [^\n]*</torch_')
HANDLES = re.compile(r'Too many open files|received 0 items of ancdata')
LOST = 'DataLoader worker lost'
LOADERS_FILE = os.path.join('torch', 'utils', 'data', 'dataloader.py')
SHARED_MEMORY_FOLDER = '/dev/shm'


class LoaderError(RuntimeError):
    """The data loader cannot go on."""


@contextmanager
def explained_failures(runner: Runner) -> Iterator[None]:
    """Turns what PyTorch says of a loader that broke down into what happened and what to do.

    Args:
        runner: Of the run.

    Raises:
        LoaderError: In the place of PyTorch's error.
    """
    seconds = getattr(runner.train_dataloader, 'timeout', 0) if isinstance(runner, Runner) else 0
    watch = StoppedWorkers(0)
    try:
        with watched_workers(seconds) as watch:
            yield
    except (RuntimeError, OSError, EOFError) as error:
        try:
            text = _text_of(error)
        except RuntimeError as late:  # of PyTorch's handler of the signal, which comes at any time
            text = str(late)
        with children_unnoticed():
            own = type(error).__module__.startswith('simmim_mm.')  # says what happened itself
            # Of other errors, a worker that happens to be stopped is no cause.
            stopped = [*watch.ended, *(stopped_workers() if TIMEOUT.search(text) else ())]
            if own:
                what = None
            else:
                what = _of_stopped_workers(stopped, watch.seconds, runner) if stopped else _explanation(text, runner)
            if what is None:
                raise
            raise LoaderError(f'{what}. {_how_to_go_on(runner)}') from error


@contextmanager
def children_unnoticed() -> Iterator[None]:
    """Lets workers end without the error that PyTorch raises then, wherever the main process is."""
    if not hasattr(signal, 'SIGCHLD') or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)


def _of_stopped_workers(stopped: list[int], seconds: float, runner: Runner) -> str:
    """What to say where workers are stopped, whether they were ended for it or the loader waited for too long."""
    opened = _last_opened(runner)
    _end_workers([*stopped, *(process for process in opened if process != os.getpid())])
    names = ', '.join(map(str, stopped))
    files = [opened[process] for process in stopped if process in opened]
    who = 'workers of the data loader (processes' if len(stopped) > 1 else 'a worker of the data loader (process'
    return (
        f'{who} {names}) did not go on for {seconds:g} s: something outside of the run has stopped '
        f'{"them" if len(stopped) > 1 else "it"} (SIGSTOP: kill -STOP, a debugger, a scheduler that suspends jobs)'
        + (f'; opened last: {", ".join(files[:8])}' if files else '')
        + '. kill -CONT lets a stopped process go on. If such pauses are meant, raise timeout of train_dataloader (in '
        'seconds; 0 waits for ever)'
    )


def _text_of(error: Exception) -> str:
    """What PyTorch says, or is about to: a worker that ends while it hands over a batch breaks the connection first."""
    if isinstance(error, RuntimeError) or 'Too many open files' in str(error):
        return str(error)
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if not any(file.endswith(LOADERS_FILE) for file in files):
        return str(error)
    time.sleep(1)  # the signal of its end comes meanwhile
    return LOST if isinstance(error, ConnectionError | EOFError) else str(error)


def _explanation(text: str, runner: Runner) -> str | None:
    """What happened and what to change; None if the loader is not the reason."""
    timeout = TIMEOUT.search(text)
    if timeout is not None:
        opened = _last_opened(runner)
        _end_workers([process for process in opened if process != os.getpid()])
        files = f' The files that were opened last are {", ".join(list(opened.values())[:8])}.' if opened else ''
        return (
            f'no batch came from the data loader within {float(timeout[1]):g} s: a worker hangs, or the storage does '
            f'not answer.{files} Look whether they can be read. If the storage is only slow, raise timeout of '
            'train_dataloader and val_dataloader (in seconds; 0 waits for ever)'
        )
    if HANDLES.search(text):
        return (
            'the data loader ran out of file handles: raise their limit (ulimit -n 65535), or use fewer workers '
            f'(train_dataloader.num_workers, now {runner.train_dataloader.num_workers})'
        )
    killed, ended = KILLED.search(text), ENDED.search(text)
    if SHARED_MEMORY.search(text) or (killed is not None and killed[2].startswith('Bus')):
        return (
            f'the data loader ran out of shared memory ({_shared_memory()}): in a container, give it more (docker run '
            '--shm-size=16g, or --ipc=host), or lower train_dataloader.num_workers (now '
            f'{runner.train_dataloader.num_workers}), prefetch_factor or batch_size'
        )
    if killed is not None:
        return _of_a_killed_worker(int(killed[1]), killed[2], runner)
    if ended is not None:
        return _of_a_killed_worker(int(ended[1].split(',')[0]), 'no word', runner)
    return _of_a_killed_worker(None, 'no word', runner) if text == LOST else None


def _of_a_killed_worker(process: int | None, how: str, runner: Runner) -> str:
    file = None if process is None else _last_opened(runner).get(process)
    workers = f'train_dataloader.num_workers (now {runner.train_dataloader.num_workers})'
    who = 'a worker of the data loader' + ('' if process is None else f' (process {process})')
    what = f'{who} ended with {how!r}' + (f'; the file that it opened last is {file}' if file else '')
    if how.startswith(('Segmentation', 'Aborted', 'Illegal', 'Floating')):
        return (
            f'{what}: a decoder crashed. Look at that file, and take it out of the data set if it is the cause; '
            f'train_dataloader.num_workers=0 shows where it happens'
        )
    if how.startswith('Terminated'):
        return f'{what}: something outside of the run ended it'
    return (
        f'{what}: most likely the system killed it for want of memory, or something outside of the run did (dmesg -T | '
        f'grep -i kill tells which). Lower {workers} or train_dataloader.prefetch_factor; a file with a huge image is '
        'refused with a lower max_pixels or max_bytes of LoadImage'
    )


def _how_to_go_on(runner: Runner) -> str:
    try:
        checkpoint = newest_checkpoint(runner.work_dir)
    except ValueError as error:
        return str(error)
    if checkpoint is None:
        return 'There is no checkpoint yet: run the same command again'
    return f'{checkpoint} is whole: run the same command with --resume to go on from there'


def _last_opened(runner: Runner) -> dict[int, str]:
    """The file that each worker opened last, by process; for validation too."""
    opened: dict[int, str] = {}
    for loop in (runner._val_loop, runner._train_loop):
        loader = getattr(loop, 'dataloader', None)
        for dataset in base_datasets(None if loader is None else loader.dataset):
            if isinstance(dataset, UnlabelledImages):
                opened |= dataset.last_opened()
    return opened


def _end_workers(processes: list[int], seconds: float = 5) -> None:
    """Kills workers that hang, for which Python would wait at its own end."""
    own = {child.pid: child for child in multiprocessing.active_children()}
    hanging = [own[process] for process in processes if process in own]
    for child in hanging:
        child.kill()
    deadline = time.monotonic() + seconds
    for child in hanging:
        child.join(max(0.0, deadline - time.monotonic()))


def _shared_memory() -> str:
    if not os.path.isdir(SHARED_MEMORY_FOLDER):
        return sys.platform
    usage = shutil.disk_usage(SHARED_MEMORY_FOLDER)
    return f'{SHARED_MEMORY_FOLDER} has {usage.total / 2**20:.0f} MiB, {usage.free / 2**20:.0f} of them free'
