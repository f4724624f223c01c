"""Reading the bytes of a file, and one type of error for whatever goes wrong with it."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import UnidentifiedImageError

from simmim_mm.datasets.transforms import kinds
from simmim_mm.datasets.transforms.limits import Limits, TooLargeError
from simmim_mm.datasets.transforms.stored import ImageSettingError, NotFiniteError, UnreadableImageError, printable

# Of pipes, opening is not to wait for who writes to them; on Windows, bytes are not to be taken for text.
READ = os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0)
# Seconds before a file is tried again of which storage says that it has no answer now.
PAUSES = (0.1, 1.0)


def _numbers(*names: str) -> frozenset[int]:
    """Numbers of errors, of which not every system has all."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


KINDS = {
    kinds.MISSING: _numbers('ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'),
    kinds.NO_PERMISSION: _numbers('EACCES', 'EPERM'),
    kinds.NO_FILE: _numbers('EISDIR', 'ENXIO', 'ENODEV'),  # ENXIO: a socket
}
# What a network file system says when its server is away for a moment.
TRANSIENT = _numbers('EIO', 'ESTALE', 'ETIMEDOUT', 'EAGAIN', 'EREMOTEIO', 'ENOTCONN', 'EHOSTDOWN', 'EBUSY')
# Not the file's fault: skipping files would drop good ones until none is left.
EXHAUSTED = _numbers('EMFILE', 'ENFILE', 'ENOMEM')


class ExhaustedError(RuntimeError):
    """The machine has no memory or no file handles left: no file is at fault."""


def read_file(path: str, part: tuple[str, int, int] | None, limits: Limits) -> bytes:
    """Reads a file, or a part of one.

    Args:
        path: What it is called in messages; without ``part``, the file.
        part: File, offset and size in bytes.
        limits: Files that are larger are not read.

    Raises:
        ExhaustedError: If the machine has no memory or no file handles left.
        UnreadableImageError: If it cannot be read.
    """
    for pause in PAUSES:
        try:
            return _read_once(path, part, limits)
        except OSError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in TRANSIENT:
                raise
        time.sleep(pause)
    return _read_once(path, part, limits)


def _read_once(path: str, part: tuple[str, int, int] | None, limits: Limits) -> bytes:
    file_name, offset, size = part or (path, 0, -1)
    with as_unreadable(path):
        descriptor = os.open(file_name, READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
                raise UnreadableImageError(path, 'no regular file', kinds.NO_FILE)
            wanted = status.st_size if size < 0 else size
            limits.check_file(wanted)
            data = _read_part(descriptor, offset, wanted)
        finally:
            os.close(descriptor)
        if len(data) < size:
            raise UnreadableImageError(path, 'the file that it is a part of is cut off', kinds.DAMAGED)
        if not data:
            raise UnreadableImageError(path, 'it is empty', kinds.EMPTY)
        return data


def _read_part(descriptor: int, offset: int, size: int) -> bytes:
    if offset:
        os.lseek(descriptor, offset, os.SEEK_SET)
    data = os.read(descriptor, size)
    while 0 < len(data) < size:  # one call reads 2 GB at most
        more = os.read(descriptor, size - len(data))
        if not more:
            break
        data += more
    return data


@contextmanager
def as_unreadable(path: str) -> Iterator[None]:
    """Gives whatever goes wrong with a file one type, with the kind of the reason.

    Args:
        path: The file.

    Raises:
        ExhaustedError: If the machine, and not the file, is the reason.
        UnreadableImageError: Otherwise.
    """
    try:
        yield
    except (UnreadableImageError, ImageSettingError):
        raise
    except MemoryError as error:
        raise ExhaustedError(
            f'no memory is left to read {printable(path)}; use fewer workers (train_dataloader.num_workers) or smaller '
            'batches, or lower max_pixels and max_bytes of LoadImage, so that files as large as this one are left out; '
            'then go on with --resume'
        ) from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError(path, 'no image, or of a format that is not known', kinds.NO_IMAGE) from error
    except TooLargeError as error:
        raise UnreadableImageError(path, str(error), kinds.TOO_LARGE) from error
    except NotFiniteError as error:
        raise UnreadableImageError(path, str(error), kinds.NOT_FINITE) from error
    except Exception as error:  # Pillow's plug-ins raise many types: SyntaxError, struct.error, KeyError, ...
        number = error.errno if isinstance(error, OSError) else None
        if number in EXHAUSTED:
            raise ExhaustedError(
                f'{printable(path)} cannot be opened, as the machine has no room for it: {os.strerror(number or 0)}; '
                'raise the limit of open files (ulimit -n 65535) or use fewer workers (train_dataloader.num_workers), '
                'then go on with --resume'
            ) from error
        raise UnreadableImageError(path, _reason_of(error, path), _kind_of(number)) from error


def _kind_of(number: int | None) -> str:
    if number is None:
        return kinds.DAMAGED
    return next((kind for kind, numbers in KINDS.items() if number in numbers), kinds.STORAGE)


def _reason_of(error: Exception, path: str) -> str:
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return f'a link to {os.readlink(path)}, which is not there'
    if isinstance(error, OSError) and error.errno in KINDS[kinds.NO_FILE]:
        return 'a folder, a socket or a device'
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ' '.join(reason.split()) or type(error).__name__
