"""Files that are whole or not there, and how to tell."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | Path, write: Callable[[str], object], ending: str = '') -> None:
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


def damage_of(path: str | os.PathLike) -> str | None:
    """Checks the checksums of a checkpoint, without loading it.

    Args:
        path: A file that ``torch.save`` wrote, a zip file of which each part has a CRC-32.

    Returns:
        What is wrong with it; None if nothing is.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except OSError as error:
        return f'it cannot be read: {error.strerror}'
    except Exception:  # no list of parts at its end, a damaged header, compressed data that ends early
        return f'it is cut off or overwritten ({os.path.getsize(path)} bytes are there)'
    return None if damaged is None else f'the checksum of {damaged} is wrong'
