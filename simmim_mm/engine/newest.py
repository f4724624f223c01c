"""The newest checkpoint of a run that is whole."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.logging import print_log

from simmim_mm.atomic import damage_of
from simmim_mm.engine.hooks.safe_checkpoint import ROLLING

PATTERNS = ('epoch_*.pth', 'iter_*.pth', ROLLING)
# Named to the user, not taken: a best one may be much older than what is damaged.
OTHERS = 'best_*.pth'


def newest_checkpoint(work_dir: str) -> str | None:
    """Looks for what a run can go on from; a damaged file is passed over with a warning.

    Args:
        work_dir: Of the run.

    Returns:
        The file that was written last and whose checksums are right; None if there is no checkpoint.

    Raises:
        ValueError: If there are some, and all are damaged.
    """
    found = [path for pattern in PATTERNS for path in Path(work_dir).glob(pattern)]
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        problem = damage_of(path)
        if problem is None:
            return str(path)
        print_log(
            f'{path} is damaged ({problem}); the checkpoint before it is used instead, if there is one',
            logger='current',
            level=logging.WARNING,
        )
    if found:
        whole = sorted(str(path) for path in Path(work_dir).glob(OTHERS) if damage_of(path) is None)
        other = f'resume from another one, with --resume {whole[-1]}, or ' if whole else ''
        raise ValueError(
            f'none of the {len(found)} newest checkpoints in {work_dir} is whole; {other}delete them, and the run '
            'starts from the beginning'
        )
    return None
