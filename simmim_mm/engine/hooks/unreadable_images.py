"""Which files could not be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.registry import HOOKS

FILE_NAME = 'unreadable_images.txt'


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Keeps ``unreadable_images.txt`` in the work dir: a line for each file that was skipped, path, tab and reason.

    The processes of the loader write to it as they meet such files, so it is complete even when the run is stopped by
    them. At the end, repetitions are removed and the number is logged.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Tells the training data where to write, before the workers start; what an earlier run wrote is removed."""
        if is_main_process() and os.path.exists(self._path(runner)):
            os.remove(self._path(runner))
        barrier()
        for dataset in _unlabelled(runner.train_dataloader.dataset):
            dataset.unreadable_log = self._path(runner)

    def before_val(self, runner: Runner) -> None:
        """Tells the validation data where to write."""
        for dataset in _unlabelled(runner.val_loop.dataloader.dataset):
            dataset.unreadable_log = self._path(runner)

    def after_run(self, runner: Runner) -> None:
        """Tidies the list and says how long it is."""
        path = self._path(runner)
        if not is_main_process() or not os.path.exists(path):
            return
        with open(path, encoding='utf-8') as file:
            lines = list(dict.fromkeys(filter(None, file.read().split('\n'))))
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(f'{line}\n' for line in lines)
        runner.logger.warning(f'Images that could not be read and were skipped: {len(lines)}, listed in {path}')

    @staticmethod
    def _path(runner: Runner) -> str:
        return os.path.join(runner.work_dir, FILE_NAME)


def _unlabelled(dataset: Any) -> Iterator[UnlabelledImages]:
    return (base for base in base_datasets(dataset) if isinstance(base, UnlabelledImages))
