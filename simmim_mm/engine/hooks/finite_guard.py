"""Steps whose loss or gradients are not finite are left out, and said so."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from simmim_mm.engine.guards.failed_batch import files_of, remove_oldest, save_failed_batch
from simmim_mm.engine.guards.gradients import local_part
from simmim_mm.engine.guards.step_guard import LOWEST_SCALE, Outcome, StepGuard
from simmim_mm.options import check_whole
from simmim_mm.registry import HOOKS

LIST_NAME = 'skipped_steps.jsonl'
SCALAR = 'train/skipped_steps'
STATE = 'finite_guard'
# In messages; LIST_NAME and the saved batch have all.
MOST_SHOWN = 5


class NotFiniteError(RuntimeError):
    """Losses or gradients of too many updates in a row were not finite."""


class _Report(NamedTuple):
    """What a process has to tell of a step that was left out."""

    rank: int
    by_loss: bool
    files: list[str]


@HOOKS.register_module()
class FiniteGuardHook(Hook):
    """Leaves out each update whose loss or gradients are not finite, counts them, and ends a run that makes no other.

    Weights, states of the optimiser and running statistics of batch norms stay what they were; learning rate and the
    rest of the schedule go on. Each such update is a warning in the log and a line of ``skipped_steps.jsonl`` in the
    work dir, with the files of its images; from the first one on, their number is logged as ``skipped_steps``. The
    first batch of each row of failures, which explains the others, is written with the weights that it met to
    ``failed_batches/iter_N.pth`` for ``tools/replay_batch.py``. With several processes all leave the same updates out.
    Overflows of fp16 that the loss scaler is there for are none of these.

    On CUDA the decision is the device's, and the host reads it one update later; the device never waits.

    Args:
        max_in_a_row: A run ends when so many updates in a row failed.
        max_files: Of how many rows, the newest, the first batch is kept. A row are failures without a good update
            between; one that stands alone is a row too. 0 for none.

    Raises:
        ValueError: If an argument is out of range.
    """

    # Before the logger, so that the count stands in the line of its iteration.
    priority = 'NORMAL'

    def __init__(self, max_in_a_row: int = 10, max_files: int = 3) -> None:
        self.max_in_a_row = check_whole(max_in_a_row, 'max_in_a_row', 'FiniteGuardHook')
        self.max_files = check_whole(max_files, 'max_files', 'FiniteGuardHook', smallest=0)
        self.guard: StepGuard | None = None
        self.num_skipped = self.in_a_row = 0
        self._saved: str | None = None
        self._first_saved: str | None = None  # of this row

    def before_train(self, runner: Runner) -> None:
        """Begins to watch the optimiser."""
        wrapper: Any = runner.optim_wrapper
        if not hasattr(wrapper, 'guard'):
            print_log(
                f'FiniteGuardHook watches nothing: optim_wrapper is a {type(wrapper).__name__}; use '
                "optim_wrapper=dict(type='PrecisionOptimWrapper', ...), or default_hooks.finite_guard=None",
                logger='current',
                level=logging.WARNING,
            )
            return
        self.guard = wrapper.guard = StepGuard(
            wrapper.optimizer, runner.model, lambda outcome: self._take(runner, outcome)
        )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Notes the batch."""
        if self.guard is not None:
            self.guard.begin(runner.iter, data_batch)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Where nothing is gained by waiting, tells at once what became of the update."""
        if self.guard is not None and not self.guard.later:
            self.guard.settle()

    def after_train(self, runner: Runner) -> None:
        """Tells what became of the last update."""
        if self.guard is not None:
            self.guard.settle()
            runner.optim_wrapper.guard = self.guard = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the counts, the last update's included."""
        pending = None if self.guard is None else self.guard.peek()
        num_skipped, in_a_row = self._count(pending) if pending else (self.num_skipped, self.in_a_row)
        checkpoint[STATE] = {'num_skipped': num_skipped, 'in_a_row': in_a_row}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Goes on counting where a resumed run was interrupted."""
        if runner._resume and STATE in checkpoint:
            self.num_skipped, self.in_a_row = (checkpoint[STATE][name] for name in ('num_skipped', 'in_a_row'))

    def _count(self, outcome: Outcome) -> tuple[int, int]:
        """Failures in all and in a row, with one more outcome. What a loss scaler leaves out is neither."""
        if outcome.failed:
            return self.num_skipped + 1, self.in_a_row + 1
        return self.num_skipped, 0 if outcome.applied else self.in_a_row

    def _take(self, runner: Runner, outcome: Outcome) -> None:
        """Counts an outcome. All processes come here together."""
        self.num_skipped, self.in_a_row = self._count(outcome)
        if not outcome.failed:
            return
        runner.message_hub.update_scalar(SCALAR, self.num_skipped)
        reports = self._gather(outcome)
        self._save(runner, outcome, [report.rank for report in reports])
        if dist.is_main_process():
            self._log(runner, outcome, reports)
        if self.in_a_row >= self.max_in_a_row:
            bad_weights = _bad_weights(runner.model)  # of shards, all processes look at theirs
            raise NotFiniteError(self._last_words(runner, outcome, bad_weights))

    def _gather(self, outcome: Outcome) -> list[_Report]:
        """The processes whose loss was not finite; all of them, where only gradients tell."""
        bad = [part for part in outcome.parts if not part.finite]
        files = [file for part in bad or outcome.parts for file in files_of(part.batch)]
        reports = [_Report(*each) for each in dist.all_gather_object((dist.get_rank(), bool(bad), files))]
        return [report for report in reports if report.by_loss] or reports

    def _save(self, runner: Runner, outcome: Outcome, ranks: Sequence[int]) -> None:
        self._saved = None
        if self.in_a_row == 1:
            self._first_saved = None
        # Later ones only where none was: the disk was full, or the run was resumed in the middle of a row.
        if not self.max_files or self._first_saved is not None:
            return
        path = None
        try:
            path = save_failed_batch(runner, outcome, dist.get_rank() == ranks[0])
        except (OSError, ValueError) as error:  # a full disk is no reason to end a run
            print_log(f'The batch is not saved: {error}', logger='current', level=logging.WARNING)
        paths = [each for each in dist.all_gather_object(path) if each]
        self._saved = self._first_saved = paths[0] if paths else None
        if dist.is_main_process():
            remove_oldest(runner.work_dir, self.max_files)

    def _log(self, runner: Runner, outcome: Outcome, reports: list[_Report]) -> None:
        number, by_loss = outcome.iteration + 1, reports[0].by_loss
        line = {
            'iter': number,
            'not_finite': 'loss' if by_loss else 'gradients',
            'in_a_row': self.in_a_row,
            'num_skipped': self.num_skipped,
            'files': {str(report.rank): report.files for report in reports},
            'saved': self._saved,
        }
        with (
            contextlib.suppress(OSError),  # the log says the same
            open(os.path.join(runner.work_dir, LIST_NAME), 'a', encoding='utf-8') as file,
        ):
            file.write(f'{json.dumps(line)}\n')
        files = [file for report in reports for file in report.files]
        shown = ', '.join(files[:MOST_SHOWN]) or 'the batch does not tell'
        more = f' and {len(files) - MOST_SHOWN} more, all in {LIST_NAME}' if len(files) > MOST_SHOWN else ''
        scale = f' (loss scale {outcome.loss_scale:g})' if outcome.loss_scale != 1 else ''
        what = 'the loss is' if by_loss else f'the loss is finite{scale}, and gradients are'
        replay = f'. Look into it with: python tools/replay_batch.py {self._saved}' if self._saved else ''
        print_log(
            f'Iteration {number}: {what} not finite, so this step is left out ({self.in_a_row} in a row, '
            f'{self.num_skipped} in all). Files: {shown}{more}{replay}',
            logger='current',
            level=logging.WARNING,
        )

    def _last_words(self, runner: Runner, outcome: Outcome, bad_weights: list[str]) -> str:
        if bad_weights:
            advice = (
                f'{len(bad_weights)} weights are not finite themselves, such as {bad_weights[0]}: go on from an '
                'earlier checkpoint, with --resume FILE, or look at what load_from names'
            )
        elif outcome.loss_scale < LOWEST_SCALE or getattr(runner.optim_wrapper, 'precision', '') == 'fp16':
            advice = "train in bf16 or fp32: optim_wrapper.precision='bf16', which needs no loss scaler"
        else:
            advice = (
                'go on from an earlier checkpoint with a lower learning rate (optim_wrapper.optimizer.lr) or '
                'stronger clipping (optim_wrapper.clip_grad.max_norm)'
            )
        replay = f' python tools/replay_batch.py {self._first_saved} says where it begins.' if self._first_saved else ''
        return (
            f'loss or gradients of {self.in_a_row} updates in a row were not finite, the last in iteration '
            f'{outcome.iteration + 1}. They were left out: the weights are those before them, and so are all '
            f'checkpoints.{replay} Likely: {advice}. See docs/guards.md; default_hooks.finite_guard.max_in_a_row '
            'allows more'
        )


def _bad_weights(model: torch.nn.Module) -> list[str]:
    """Names of parameters that are not finite, in this process."""
    return [name for name, value in model.named_parameters() if not bool(torch.isfinite(local_part(value)).all())]
