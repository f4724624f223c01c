"""A training loop that goes on in the middle of an epoch."""

from __future__ import annotations

import itertools
from typing import Any

from mmengine.runner import EpochBasedTrainLoop

from simmim_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's ``EpochBasedTrainLoop``, which a checkpoint of any iteration resumes exactly.

    The host begins the interrupted epoch anew, and counts its iterations twice. Here it goes on with the batch that was
    next. A sampler with a method ``start_at(position)``, such as ``SeededSampler``, leaves the batches before out
    without loading them; with any other, they are loaded and dropped.
    """

    def run_epoch(self) -> None:
        """Iterates what is left of an epoch."""
        done = max(0, self._iter - self._epoch * len(self.dataloader))
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        start_at = getattr(self.dataloader.sampler, 'start_at', None) if self.dataloader.batch_size else None
        if done >= len(self.dataloader):  # interrupted between the last iteration and the end of the epoch
            batches: Any = ()
        elif done and start_at:
            start_at(done * self.dataloader.batch_size)
            batches = enumerate(self.dataloader, start=done)
        else:
            batches = itertools.islice(enumerate(self.dataloader), done, None)
        for number, batch in batches:
            self.run_iter(number, batch)
        if done and start_at:
            start_at(0)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
