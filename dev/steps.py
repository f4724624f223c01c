"""Steps of a set-up: one line each on the terminal, their output in a log, and clear failures."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import subprocess
import time
from pathlib import Path


class StepError(Exception):
    """A step failed; the message is for the person at the terminal."""


@contextlib.contextmanager
def phase(title: str):
    """Print one line for a step, with the seconds that it took."""
    print(f'[setup] {title} ...', end='', flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print(' failed', flush=True)
        raise
    print(f' {time.monotonic() - start:.0f} s', flush=True)


@contextlib.contextmanager
def locked(path: Path):
    """Hold a lock file; the system frees it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'[setup] waiting for another set-up, which holds {path}', flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*command, log: Path, path_first: Path, on_line=None) -> None:
    """Run a command with its output in `log` and `path_first` before PATH.

    A failure raises StepError with the end of the output; `on_line` gets each line as it comes.
    """
    command = [str(part) for part in command]
    env = {**os.environ, 'PATH': f'{path_first}{os.pathsep}{os.environ["PATH"]}'}
    pipe = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'errors': 'replace'}
    tail: list[str] = []
    with log.open('a', encoding='utf-8') as file:
        file.write(f'\n$ {shlex.join(command)}\n')
        process = subprocess.Popen(command, env=env, **pipe)
        for line in process.stdout:
            file.write(line)
            tail = [*tail[-11:], f'  {line.rstrip()[:300]}']
            if on_line:
                on_line(line)
    if process.wait():
        text = '\n'.join(tail)
        raise StepError(f'{text}\nThis command failed: {shlex.join(command)}\nIts log: {log}')
