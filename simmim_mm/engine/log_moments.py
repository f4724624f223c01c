"""When the host logs."""

from __future__ import annotations

from mmengine.hooks import LoggerHook
from mmengine.runner import Runner


def is_logged(runner: Runner, batch_idx: int) -> bool:
    """Whether MMEngine's ``LoggerHook`` logs the training iteration that runs.

    Args:
        runner: In ``before_train_iter`` or ``after_train_iter``.
        batch_idx: As these hooks get it.
    """
    logger = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
    if logger is None:
        return False
    if logger.every_n_inner_iters(batch_idx, logger.interval):
        return True
    loader = runner.train_dataloader
    return logger.end_of_epoch(loader, batch_idx) and (not logger.ignore_last or len(loader) <= logger.interval)
