"""What a process says when another one of its run has gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import distributed

# Words of gloo, NCCL and PyTorch's store. All of them come with an error of the process that is left.
GONE = re.compile(
    r'Connection closed by peer|Connection reset by peer|Broken pipe|Connection refused|remote process exited|'
    r'Connection was likely closed|failed to recv, got 0 bytes|ncclRemoteError|NCCL communicator was aborted|'
    r'Socket Timeout|Timed out waiting \d+ms for (?:recv|send)|Read error|Write error',
    re.IGNORECASE,
)
# Where such errors come from: of other connections, the same words mean something else.
SOURCES = re.compile(r'gloo|nccl|c10d|TCPStore|ProcessGroup', re.IGNORECASE)


class LostProcessError(RuntimeError):
    """Another process of the run does not answer any more."""


@contextmanager
def explained_losses() -> Iterator[None]:
    """Turns what gloo or NCCL say when another process has gone into what happened and what to do.

    Raises:
        LostProcessError: In the place of theirs.
    """
    try:
        yield
    except RuntimeError as error:
        if not _several() or not is_loss(str(error)):
            raise
        number, of = distributed.get_rank(), distributed.get_world_size()
        raise LostProcessError(
            f'process {number} of {of} (from 0) has lost another process of the run, or the network to it: that one '
            'was killed, ended with an error, which its own log has, or hangs. Look there for the reason, and go on '
            'from the newest checkpoint with the same command and --resume'
        ) from error


def is_loss(text: str) -> bool:
    """Whether the text of an error says that another process has gone.

    Args:
        text: Of an error in a run of several processes.
    """
    return bool(GONE.search(text) and SOURCES.search(text))


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
