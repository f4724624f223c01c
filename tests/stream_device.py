"""A device that is made up, with streams: copies are not there before they are waited for."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

COPY = 3.0


class Stream:
    """A queue of copies, with a clock."""

    def __init__(self, index=None) -> None:
        self.ready = 0.0
        self.waiting: list[tuple[torch.Tensor, torch.Tensor]] = []

    def wait_stream(self, other: Stream) -> None:
        """What comes later in this stream sees what is in the other by now."""
        self.ready = max(self.ready, other.ready)
        for copied, source in other.waiting:
            copied.copy_(source)
        other.waiting.clear()


class StreamDevice:
    """In the place of ``torch.cuda``: a copy holds nonsense until the stream that reads it waits for it."""

    Stream = Stream

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.current = self.computing = Stream()
        self.now = 0.0
        self.copies: list[SimpleNamespace] = []
        self.too_early: list[SimpleNamespace] = []
        to = torch.Tensor.to

        def begin_copy(tensor, *args, **kwargs):
            if self.current is self.computing:
                return to(tensor, *args, **kwargs)
            assert kwargs == {'non_blocking': True}
            copied = ~tensor if tensor.dtype == torch.bool else torch.full_like(tensor, 77)
            self.current.waiting.append((copied, tensor))
            self.current.ready = max(self.current.ready, self.now) + COPY
            note = SimpleNamespace(reader=None)
            copied.note = note
            self.copies.append(note)
            weakref.finalize(copied, lambda: note.reader is self.computing or self.too_early.append(note))
            return copied

        patch.setattr('simmim_mm.acceleration.prefetch._streams_of', lambda device: self)
        patch.setattr(torch.Tensor, 'to', begin_copy)
        patch.setattr(torch.Tensor, 'record_stream', lambda tensor, stream: setattr(tensor.note, 'reader', stream))

    def current_stream(self, device):
        """What computes, outside of :meth:`stream`."""
        return self.current

    def current_device(self):
        """There is one."""
        return 0

    @contextmanager
    def stream(self, stream):
        """Work goes there meanwhile."""
        before, self.current = self.current, stream
        yield
        self.current = before
