"""What the command-line tools share."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simmim_mm.unknown_keys import unknown_key

PACKAGE = str(Path(__file__).parent)


@contextmanager
def user_errors() -> Iterator[None]:
    """Shows an error that this package raised as one message, without the traceback, and exits with 2.

    So are keys of a config that a class does not take (:func:`~simmim_mm.unknown_keys.unknown_key`). Errors of other
    packages and programming errors keep their traceback. ``SIMMIM_MM_TRACEBACK=1`` shows all of them. Ctrl-C ends the
    program with 130, as shells expect it.
    """
    try:
        yield
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():
            child.kill()  # workers of a loader, for which the end would wait
        print('\ninterrupted', file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, OSError, ImportError, RuntimeError, TypeError) as error:
        message = unknown_key(error) if isinstance(error, TypeError) else _own_message(error)
        if message is None or os.environ.get('SIMMIM_MM_TRACEBACK') == '1':
            raise
        print(f'error: {message}\n(set SIMMIM_MM_TRACEBACK=1 to see where it was raised)', file=sys.stderr)
        raise SystemExit(2) from error


def _own_message(error: Exception) -> str | None:
    """The message of an error that this package raised on purpose, here or in a worker of the loader; else None."""
    frames = traceback.extract_tb(error.__traceback__)
    text = str(error)
    if 'Original Traceback' in text:
        # PyTorch re-raises a worker's exception with the worker's traceback in its text.
        trace, named, message = text.rpartition(f'{type(error).__name__}: ')
        last_frame = trace.rpartition('File "')[2]
        raised_here = last_frame.startswith(PACKAGE) and '\n    raise ' in last_frame
        return message.strip() if named and raised_here else None
    last = frames[-1]
    # Errors that C code raises below one of our lines are not ours.
    return text if last.filename.startswith(PACKAGE) and (last.line or '').startswith('raise ') else None
