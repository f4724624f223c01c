"""One run at a time in a work dir."""

from __future__ import annotations

import datetime
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from mmengine.logging import print_log
from torch import distributed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE_NAME = 'run.lock'
# Where each launcher says which process this is, before there is a process group.
RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
# Seconds in which a killed process may still be on its way out, and a new one has not written who it is.
GRACE = 1.0

_open: set[int] = set()


def _close_in_child() -> None:
    """Closes what a forked process has inherited: a worker that outlives its run would go on holding the lock."""
    for handle in _open:
        os.close(handle)
    _open.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def run_lock(cfg: Mapping[str, Any]) -> Iterator[None]:
    """Makes the work dir and holds a lock in it, so that two runs do not remove each other's checkpoints.

    The lock is ``flock`` on ``run.lock``, which the system gives free when the process ends, however it ends: a killed
    run can be resumed at once. The file stays; it says who held the lock last. Of several processes, process 0 holds
    it, as it alone writes checkpoints. Where a file system has no locks, a warning says so.

    Args:
        cfg: The config of the run, with ``work_dir`` and ``launcher``.

    Raises:
        ValueError: If another run holds the lock, or if the work dir cannot be made or written to.
    """
    work_dir = cfg.get('work_dir')
    if work_dir is None or not _is_first(str(cfg.get('launcher') or 'none')):
        yield
        return
    handle = _take(str(work_dir))
    try:
        yield
    finally:
        if handle is not None:
            _close(handle)


def _close(handle: int) -> None:
    _open.discard(handle)
    os.close(handle)


def _is_first(launcher: str) -> bool:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return int(os.environ.get(RANKS.get(launcher, ''), 0)) == 0


def _take(work_dir: str) -> int | None:
    """The open file; None where there are no locks."""
    path = os.path.join(work_dir, FILE_NAME)
    try:
        os.makedirs(work_dir, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno == errno.EACCES and os.path.isfile(path) and os.access(work_dir, os.W_OK):
            _warn(f'{path} belongs to another user')
            return None
        what = 'is a file, not a folder' if os.path.isfile(work_dir) else f'cannot be written to: {error.strerror}'
        raise ValueError(
            f'work_dir={work_dir!r} {what} (seen from {os.getcwd()}); name a folder for the run with --work-dir'
        ) from error
    try:
        problem = _lock(handle, time.monotonic() + GRACE)
        if problem is None:
            _open.add(handle)
            with suppress(OSError):  # a full disk: the run will say so
                os.ftruncate(handle, 0)
                os.pwrite(handle, f'{json.dumps(_who())}\n'.encode(), 0)
            return handle
        if problem != errno.EAGAIN:
            os.close(handle)
            _warn(f'{path} cannot be locked: {os.strerror(problem)}')
            return None
        holder = _in_words(os.pread(handle, 4096, 0))
    except BaseException:
        _close(handle)
        raise
    _close(handle)
    raise ValueError(
        f'work_dir={work_dir!r} is in use by another run{holder}; two runs in one folder would remove each '
        "other's checkpoints. Give this one its own with --work-dir OTHER, or end that one first and go on from its "
        'newest checkpoint with --resume'
    )


def _lock(handle: int, deadline: float) -> int | None:
    """Locks, and returns the number of the system's error if that fails."""
    if fcntl is None:
        return errno.ENOSYS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except OSError as error:
            if error.errno != errno.EAGAIN or time.monotonic() > deadline:
                return error.errno
        time.sleep(0.1)


def _who() -> dict[str, Any]:
    return {
        'host': socket.gethostname(),
        'pid': os.getpid(),
        'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    }


def _in_words(content: bytes) -> str:
    try:
        who = json.loads(content)
        return f' (host {who["host"]}, process {who["pid"]}, started {who["started"]})'
    except (ValueError, KeyError, TypeError):
        return ''


def _warn(what: str) -> None:
    print_log(
        f'{what}. So nothing keeps a second run out of this work dir: give each its own, with --work-dir',
        logger='current',
        level=logging.WARNING,
    )
