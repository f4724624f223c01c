"""Which files were not used, and why."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from simmim_mm.atomic import write_atomically
from simmim_mm.datasets import UnlabelledImages, unused_files
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.registry import HOOKS

FILE_NAME = 'unreadable_images.txt'
SUMMARY_NAME = 'data_summary.json'


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Keeps two files in the work dir about images that were not used.

    ``unreadable_images.txt`` has a line for each: path, tab, kind of the reason, tab, reason. The processes of the
    loader write to it as they meet such files, so it is complete even when the run is stopped by them; a resumed run
    goes on with it. ``data_summary.json`` has the numbers by kind, with examples, and is also logged at the end of the
    run.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Tells the training data where to write, before the workers start; a new run begins a new list."""
        if is_main_process() and not runner._resume:
            for name in (FILE_NAME, SUMMARY_NAME):
                Path(runner.work_dir, name).unlink(missing_ok=True)
        barrier()
        for dataset in _unlabelled(runner.train_dataloader.dataset):
            dataset.unreadable_log = _list_of(runner)

    def before_val(self, runner: Runner) -> None:
        """Tells the validation data where to write."""
        for dataset in _unlabelled(runner.val_loop.dataloader.dataset):
            dataset.unreadable_log = _list_of(runner)

    def after_run(self, runner: Runner) -> None:
        """Sums up."""
        self.sum_up(runner)

    def sum_up(self, runner: Runner) -> None:
        """Tidies the list, and writes and logs the summary; also of a run that was stopped.

        Args:
            runner: Of the run.
        """
        if not is_main_process():
            return
        files = unused_files.read(_list_of(runner))
        found = unused_files.summary(files, _num_files(runner))
        text = unused_files.summary_text(found)
        try:
            if files:
                unused_files.rewrite(_list_of(runner), files)
                text += f'\nAll of them are listed in {_list_of(runner)}'
            write_atomically(
                os.path.join(runner.work_dir, SUMMARY_NAME),
                lambda draft: Path(draft).write_text(json.dumps(found, indent=2) + '\n', encoding='utf-8'),
            )
        except (OSError, ValueError) as error:  # a full disk, of which the run's own message is to be seen
            text += f'\n{SUMMARY_NAME} could not be written: {error}'
        print_log(text, logger='current', level=logging.WARNING if found['num_not_used'] else logging.INFO)


def _list_of(runner: Runner) -> str:
    return os.path.join(runner.work_dir, FILE_NAME)


def _num_files(runner: Runner) -> dict[str, int]:
    """How many files there are, by the loop that reads them, where it was built."""
    numbers = {}
    for name, loop in (('training', runner._train_loop), ('validation', runner._val_loop)):
        loader = getattr(loop, 'dataloader', None)
        if loader is not None:
            numbers[name] = sum(len(dataset) for dataset in _unlabelled(loader.dataset))
    return numbers


def _unlabelled(dataset: Any) -> Iterator[UnlabelledImages]:
    return (base for base in base_datasets(dataset) if isinstance(base, UnlabelledImages))
