"""Randomness of a step that follows from the step alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from simmim_mm.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds the generators of Python, NumPy and PyTorch before each iteration, from (seed, iteration, process).

    What a model draws, such as the layers that drop path leaves out, then is the same whatever was drawn before: by a
    validation, by pictures, or in a run that was interrupted and resumed. Samples have generators of their own
    (:mod:`simmim_mm.datasets.randomness`).
    """

    # Before anything that might draw.
    priority = 'HIGHEST'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seeds everything."""
        seed_everything(iteration_seed(runner.seed or 0, runner.iter, runner.rank))


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy and PyTorch, on accelerators too.

    Args:
        seed: From 0 to 2 ** 32 - 1.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the global state is what others draw from)
    torch.manual_seed(seed)


def iteration_seed(seed: int, iteration: int, rank: int) -> int:
    """A number that no other iteration or process shares, but by chance.

    Args:
        seed: Of the run.
        iteration: From 0.
        rank: Of the process.

    Returns:
        From 0 to 2 ** 32 - 1.
    """
    return int(np.random.SeedSequence((seed, iteration, rank)).generate_state(1)[0])
