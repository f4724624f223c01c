"""Kills runs at random moments, resumes them, and compares what comes out with a run that was left alone."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from simmim_mm.engine.checkpoints import read_checkpoint
from simmim_mm.engine.newest import newest_checkpoint
from simmim_mm.engine.process_tree import kill_tree


class KillTest(NamedTuple):
    """What is run.

    Attributes:
        train: Path of ``train.py``.
        config: A config whose run ends within minutes.
        folder: For the work dirs of the runs; what is there is removed.
        processes: Number of processes of a run.
        options: Of ``train.py``.
        say: Is told what happens.
    """

    train: Path
    config: str
    folder: Path
    processes: int = 1
    options: Sequence[str] = ()
    say: Callable[[str], None] = print

    def command(self, work_dir: Path) -> list[str]:
        """The command that begins a run or goes on with it."""
        script = [str(self.train), self.config, '--work-dir', str(work_dir), '--resume', *self.options]
        if self.processes == 1:
            return [sys.executable, *script]
        launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={self.processes}']
        return [sys.executable, *launcher, *script, '--launcher', 'pytorch']

    def start(self, work_dir: Path) -> subprocess.Popen:
        """Begins or resumes a run, in a process group of its own; its output goes to a file beside the work dir."""
        work_dir.mkdir(parents=True, exist_ok=True)
        with (work_dir.with_suffix('.log')).open('a') as log:
            return subprocess.Popen(
                self.command(work_dir), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )


def run_kill_test(test: KillTest, kills: int, seed: int = 0) -> dict[str, int]:
    """Runs once to the end, and once more with kills: again and again, until there were enough.

    Args:
        test: What is run.
        kills: Number of SIGKILLs to all processes of the run, at moments drawn from the duration of a run.
        seed: Of the moments.

    Returns:
        ``kills``, ``runs`` that they were spread over, ``resumed`` from a checkpoint (the others came before the first
        one), and ``differing``, how many weights at the end of these runs are not identical to the last bit.

    Raises:
        RuntimeError: If a run fails by itself; the message names its log.
        ValueError: If the folder, which is emptied, holds the config, the tool or the place to run from.
    """
    kept = (Path(test.config), test.train, Path.cwd())
    for path in kept:
        if path.exists() and test.folder.resolve() in (path.resolve(), *path.resolve().parents):
            raise ValueError(
                f'--folder={str(test.folder)!r} holds {str(path)!r}, and what is in the folder is removed; name '
                'another folder'
            )
    rng = random.Random(seed)
    shutil.rmtree(test.folder, ignore_errors=True)
    began = time.monotonic()
    expected = _finish(test, test.folder / 'whole')
    duration = time.monotonic() - began
    test.say(f'A run that is left alone takes {duration:.0f} s')
    done = runs = resumed = differing = 0
    while done < kills:
        work_dir = test.folder / f'killed_{runs}'
        runs += 1
        while done < kills:
            process = test.start(work_dir)
            if not _kill_after(process, rng.uniform(0, duration)):
                _check(process, work_dir)
                break
            done += 1
            found = newest_checkpoint(str(work_dir))
            resumed += found is not None
            test.say(f'Kill {done} of {kills}; goes on from {Path(found).name if found else "the beginning"}')
        other = _differing(expected, _finish(test, work_dir))
        test.say(f'Run {runs}: {other} of {len(expected)} weights differ')
        differing += other
    return {'kills': done, 'runs': runs, 'resumed': resumed, 'differing': differing}


def _finish(test: KillTest, work_dir: Path) -> dict[str, torch.Tensor]:
    """Lets a run come to its end, and reads its weights."""
    process = test.start(work_dir)
    process.wait()
    _check(process, work_dir)
    found = newest_checkpoint(str(work_dir))
    if found is None:
        raise RuntimeError(f'the run in {work_dir} has no checkpoint at its end; see {work_dir}.log')
    return read_checkpoint(found)


def _kill_after(process: subprocess.Popen, seconds: float) -> bool:
    """Whether the run still went on by then, and was killed."""
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        process.wait()
        return True


def _check(process: subprocess.Popen, work_dir: Path) -> None:
    if process.returncode:
        log = work_dir.with_suffix('.log')
        raise RuntimeError(
            f'the run in {work_dir} ended with {process.returncode}, see {log}:\n{log.read_text()[-2000:]}'
        )


def _differing(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> int:
    """How many of the weights of either are not the same in both."""
    return sum(
        key not in found or key not in expected or not torch.equal(expected[key], found[key])
        for key in expected.keys() | found.keys()
    )
