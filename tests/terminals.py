"""What a person sees on a terminal: programs forked from the test onto a pseudo terminal, and an emulator of it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import pyte
import torch

LINES = 40


class Seen:
    """What came out of a program.

    Attributes:
        status: Its exit code.
        raw: All that it wrote to the terminal.
        screen: As an emulated terminal shows it in the end.
        rows: All rows that scrolled by, and those that are on the screen.
    """

    def __init__(self, raw: bytes, columns: int, status: int) -> None:
        self.raw, self.status = raw, status
        self.screen = pyte.HistoryScreen(columns, LINES, history=10_000, ratio=0.5)
        pyte.ByteStream(self.screen).feed(raw)
        history = [''.join(row[column].data for column in range(columns)) for row in self.screen.history.top]
        self.rows = [row.rstrip() for row in [*history, *self.screen.display]]

    @property
    def text(self) -> str:
        """All rows without blanks: lines that the terminal broke at its edge are whole in it."""
        return ''.join(''.join(self.rows).split())


def on_terminal(
    program: Callable[[], Any],
    columns: int = 100,
    environment: Mapping[str, str] | None = None,
    when: tuple[bytes, int] | None = None,
    stdout: str | None = None,
    stderr: str | None = None,
) -> Seen:
    """Runs a function as a program whose output is a terminal.

    Args:
        program: To run.
        columns: Width of the terminal.
        environment: Variables beside those that are set.
        when: Something that appears on the terminal, and the signal to send then.
        stdout: A file to write standard output to instead.
        stderr: The same for errors.
    """
    process, terminal = pty.fork()
    if process == 0:
        _work(program, {'TERM': 'xterm-256color', **(environment or {})}, columns, {1: stdout, 2: stderr})
    raw, sent, deadline = b'', when is None, time.monotonic() + 120
    while True:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            os.kill(process, signal.SIGKILL)
            break
        try:
            part = os.read(terminal, 65536)
        except OSError:  # what Linux says when the other side is closed
            break
        raw += part
        if not sent and when[0] in raw:
            os.kill(process, when[1])
            sent = True
        if not part:
            break
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert sent, f'{when} never appeared:\n{raw.decode(errors="replace")[-3000:]}'
    return Seen(raw, columns, status)


def _work(program: Callable[[], Any], environment: dict[str, str], columns: int, files: dict[int, str | None]) -> None:
    status = 1
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what is in the background without it
    try:
        for name in ('COLUMNS', 'LINES', 'NO_COLOR', 'FORCE_COLOR'):
            os.environ.pop(name, None)
        os.environ.update(environment)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', LINES, columns, 0, 0))
        for number, path in files.items():
            if path is not None:
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate('rww'))  # noqa: SIM115
        torch.set_num_threads(1)
        program()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
