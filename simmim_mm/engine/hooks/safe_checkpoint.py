"""Checkpoints that survive what happens to machines."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from simmim_mm.atomic import write_atomically
from simmim_mm.options import check_whole
from simmim_mm.registry import HOOKS

ROLLING = 'latest.pth'
# As write_atomically names them.
DRAFTS = '*-draft-*.draft'


class AtomicLocalBackend(LocalBackend):
    """MMEngine's ``LocalBackend``, of which files are whole or not there."""

    def put(self, obj: Any, filepath: Any) -> None:
        """Writes a file beside its place and then puts it there.

        Args:
            obj: The content, bytes.
            filepath: The file.

        Raises:
            RuntimeError: If the disk is full; what was there before still is.
        """
        try:
            write_atomically(filepath, lambda draft: Path(draft).write_bytes(obj))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise RuntimeError(
                f'{str(filepath)!r} could not be written: {error.strerror}. It needs {len(obj) / 2**20:.0f} MiB; the '
                'checkpoints before it are whole. Make room, or keep fewer of them '
                '(default_hooks.checkpoint.max_keep_ckpts), and run the same command again with --resume'
            ) from error


register_backend('simmim_mm.atomic', AtomicLocalBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, of which a run that is killed at any moment loses nothing that was saved.

    - A checkpoint is written beside its place and then moved there. Each of its parts has a checksum (CRC-32, of
      PyTorch's file format), which ``--resume`` looks at.
    - Older ones are removed after the new one is there; the host removes them before.
    - ``latest.pth`` is written every few iterations, in the middle of epochs too, and takes its own place.
    - With ``save_best``, ``latest.pth`` is written behind a validation that found a new best too, so that a resumed run
      knows of it. (The host writes a numbered checkpoint then, whatever the interval, which pushes out another one. So
      does this hook without ``rolling_interval``.)

    Args:
        rolling_interval: Iterations between two writings of ``latest.pth``; None for none.
        **kwargs: Arguments of ``CheckpointHook``.

    Raises:
        ValueError: If ``rolling_interval`` is no whole number from 1.
    """

    backend_args: dict[str, Any] | None
    file_client_args: dict[str, Any] | None
    last_ckpt: str | None
    out_dir: str | None

    def __init__(self, *args: Any, rolling_interval: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if rolling_interval is not None:
            check_whole(rolling_interval, 'rolling_interval', 'default_hooks.checkpoint')
        self.rolling_interval = rolling_interval
        self._outdated: list[tuple[Callable[[Any], None], Any]] = []
        self._overdue = False

    def before_train(self, runner: Runner) -> None:
        """Finds out where checkpoints go; on local disks they are written safely."""
        backend = get_file_backend(self.out_dir or runner.work_dir, backend_args=self.backend_args)
        atomic = isinstance(backend, LocalBackend) and not self.backend_args and not self.file_client_args
        if atomic:
            self.backend_args = {'backend': 'simmim_mm.atomic'}
        super().before_train(runner)
        if atomic and dist.is_main_process():
            for draft in Path(str(self.out_dir)).glob(DRAFTS):  # of a run that was killed
                draft.unlink(missing_ok=True)
        host: Any = self.file_backend
        remove, rmtree = host.remove, host.rmtree
        host.remove = lambda path: self._outdated.append((remove, path))
        host.rmtree = lambda path: self._outdated.append((rmtree, path))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Saves what is due."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self.rolling_interval and is_due(runner, 1 if self._overdue else self.rolling_interval):
            self.save_rolling(runner)

    def save_rolling(self, runner: Runner, counted: bool = False) -> None:
        """Writes ``latest.pth``.

        Args:
            runner: The Runner.
            counted: Whether the last iteration is counted already, as it is behind a validation, and not in
                ``after_train_iter``.
        """
        self._overdue = False
        runner.save_checkpoint(
            self.out_dir,
            ROLLING,
            meta=dict(epoch=runner.epoch, iter=runner.iter + (not counted)),
            by_epoch=False,
            backend_args=self.backend_args,
        )

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        super()._save_checkpoint_with_step(runner, step, meta)
        self._remove_outdated()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        for key in self.key_indicators:
            if key != 'auto' and key not in metrics:
                raise ValueError(
                    f'save_best={key!r} of default_hooks.checkpoint is no result of the validation, which has '
                    f'{", ".join(metrics)}; use one of these'
                )
        before = _best_scores(runner)
        # Of no last checkpoint, the host does not write another one.
        last, self.last_ckpt = self.last_ckpt, None if self.rolling_interval else self.last_ckpt
        super()._save_best_checkpoint(runner, metrics)
        if self.rolling_interval:
            self.last_ckpt = last
        if self.rolling_interval and _best_scores(runner) != before:
            if runner.iter % getattr(runner.optim_wrapper, '_accumulative_counts', 1):
                self._overdue = True  # gathered gradients would be lost: behind the next update
            else:
                self.save_rolling(runner, counted=True)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        # A resumed run may find the best once more, and write it to the same place.
        best = {getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()}
        if dist.is_main_process():
            for remove, path in self._outdated:
                if path not in best:
                    remove(path)
        self._outdated.clear()


def _best_scores(runner: Runner) -> dict[str, Any]:
    information = runner.message_hub.runtime_info
    return {name: value for name, value in information.items() if name.startswith('best_score')}


def is_due(runner: Runner, interval: int) -> bool:
    """Whether what happens every few iterations is to happen behind this one.

    Gradients that are gathered for a later update are in no checkpoint. So it waits for the first update after a
    multiple of the interval.

    Args:
        runner: In ``after_train_iter``.
        interval: Iterations.
    """
    gathered = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    done = runner.iter + 1
    return done % gathered == 0 and done // interval > (done - gathered) // interval
