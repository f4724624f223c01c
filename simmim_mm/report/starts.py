"""The starts of a run, and what each of them left in the work dir."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from simmim_mm.engine.hooks.run_record import FILE_NAME


class Start(NamedTuple):
    """One start of a run: the first, or one that resumed it.

    Attributes:
        folder: ``WORK_DIR/TIMESTAMP``, as MMEngine makes it.
        record: What :class:`~simmim_mm.engine.RunRecordHook` wrote; empty where it did not.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The time of the start, as the folder is called."""
        return self.folder.name

    @property
    def scalars(self) -> Path:
        """The file of logged numbers, which may be missing."""
        return self.folder / 'vis_data' / 'scalars.json'

    @property
    def log(self) -> Path:
        """The text of the log, which may be missing."""
        return self.folder / f'{self.folder.name}.log'


def find_starts(work_dir: str | Path) -> list[Start]:
    """Finds the starts of a run.

    Args:
        work_dir: Of the run.

    Returns:
        In the order of time.
    """
    below = {'*/*.log': 1, f'*/{FILE_NAME}': 1, '*/vis_data/scalars.json': 2}
    folders = {path.parents[depth - 1] for pattern, depth in below.items() for path in Path(work_dir).glob(pattern)}
    return [Start(folder, _read(folder / FILE_NAME)) for folder in sorted(folders)]


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
