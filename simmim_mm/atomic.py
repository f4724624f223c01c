"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | Path, write: Callable[[str], None], ending: str = '') -> None:
    """Writes a file beside its place first, so that whatever happens, no half of it is found there.

    Args:
        path: The file.
        write: Writes the file of the name that it is given.
        ending: Of the name that is written to, where that matters.

    Raises:
        ValueError: If it cannot be written there.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f'{str(path)!r} is a folder; name the file to write')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f'{path.stem}-draft-', suffix=ending or '.draft')
    except OSError as error:
        raise ValueError(f'{str(path)!r} cannot be written: {error.strerror}') from error
    os.close(handle)
    try:
        write(draft)
        with open(draft, 'rb') as file:
            os.fsync(file.fileno())  # or a power cut could leave the name without the content
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(draft, 0o666 & ~umask)  # mkstemp's are for the owner alone
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
