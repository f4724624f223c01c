"""A batch whose step was left out, with all that is needed to take the step again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from simmim_mm.atomic import write_atomically
from simmim_mm.datasets.device_decoding import decode_images
from simmim_mm.datasets.encoded import EncodedImages
from simmim_mm.engine.checkpoints import read_plain
from simmim_mm.engine.guards.step_guard import Outcome

FOLDER = 'failed_batches'
# In files, beside the weights.
KEY = 'failed_batch'


def files_of(batch: Any) -> list[str]:
    """The image files of a batch: those that were read, also where another one took the place of a damaged one.

    Args:
        batch: What the loader handed out, with ``img_path`` or MMPretrain's ``data_samples``.

    Returns:
        Paths, in the order of the images; none where the batch does not tell.
    """
    if not isinstance(batch, Mapping):
        return []
    paths = batch.get('img_path')
    if paths is None:
        paths = [getattr(sample, 'img_path', '') for sample in batch.get('data_samples') or []]
    return [str(path) for path in paths if path]


def save_failed_batch(runner: Runner, outcome: Outcome, write: bool) -> str | None:
    """Writes ``WORK_DIR/failed_batches/iter_N.pth``. All processes call this together.

    The batches are those whose loss was not finite, or all of the update where all losses were.

    Args:
        runner: Whose weights are still those that the batch met.
        outcome: Of the update.
        write: Whether this process writes.

    Returns:
        The file, or None if this process does not write.

    Raises:
        OSError: If it cannot be written.
        ValueError: If a batch holds objects that are no plain data.
    """
    from simmim_mm.engine.sharding.states import gather  # which imports hooks, and so this module

    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    weights = gather(model.state_dict(), write)
    if not write:
        return None
    rank, several = dist.get_rank(), dist.get_world_size() > 1
    device = next(model.parameters()).device
    parts = [part for part in outcome.parts if not part.finite] or outcome.parts
    parts = [part for part in parts if part.batch is not None]
    content = {
        'state_dict': {name: value.detach().cpu() for name, value in weights.items()},
        'meta': {'cfg': runner.cfg.pretty_text, 'iter': outcome.iteration, 'seed': runner.seed},
        KEY: {
            'iterations': [part.iteration for part in parts],
            'batches': [_plain(part.batch, device) for part in parts],
            'rank': rank,
            'seed': runner.seed or 0,
            'precision': getattr(runner.optim_wrapper, 'precision', 'fp32'),
            'loss_scale': outcome.loss_scale,
            'device': device.type,
        },
    }
    path = Path(runner.work_dir) / FOLDER / f'iter_{outcome.iteration + 1}{f"_rank_{rank}" if several else ""}.pth'
    try:
        write_atomically(path, lambda draft: torch.save(content, draft))
    except RuntimeError as error:  # PyTorch's, of a full disk
        raise OSError(str(error)) from error
    return str(path)


def remove_oldest(work_dir: str, keep: int) -> None:
    """Removes all files of failed batches but the newest.

    Args:
        work_dir: Of the run.
        keep: How many stay.
    """
    found = sorted((Path(work_dir) / FOLDER).glob('iter_*.pth'), key=lambda path: path.stat().st_mtime_ns)
    for path in found[: max(0, len(found) - keep)]:
        path.unlink(missing_ok=True)


def read_failed_batch(path: str) -> dict[str, Any]:
    """Reads what :func:`save_failed_batch` wrote; no code in the file is run.

    Args:
        path: The file.

    Returns:
        ``state_dict``, ``meta`` and ``failed_batch``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file.
    """
    loaded = read_plain(path)
    wanted = loaded.get(KEY) if isinstance(loaded, dict) else None
    if not isinstance(wanted, dict) or not isinstance(loaded.get('state_dict'), dict):
        raise ValueError(
            f'{path!r} holds no failed batch; name a file of the folder {FOLDER} in a work dir, which a run writes '
            'when a loss or a gradient is not finite'
        )
    return loaded


def _plain(value: Any, device: torch.device) -> Any:
    """A batch as tensors and plain data, on the CPU; files are decoded as the run decoded them."""
    if isinstance(value, EncodedImages):
        value = decode_images(value, device)
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {str(key): _plain(each, device) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each, device) for each in value]
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return value
    raise ValueError(f'it holds objects of {type(value).__name__}, which a file of plain data cannot keep')
