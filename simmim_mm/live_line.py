"""One line at the bottom of a terminal that changes, while others scroll by above it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmengine.logging import MMLogger

if TYPE_CHECKING:
    from rich.table import Table

WIDEST_BAR = 30


def can_show_live_line() -> bool:
    """Whether standard error is a terminal on which a line can be rewritten."""
    return sys.stderr.isatty() and os.environ.get('TERM', 'dumb') not in ('dumb', 'unknown')


class LiveLine:
    """Shows how far something is: a bar and some facts, as many as the terminal is wide.

    What loggers and programs write to the same terminal appears above it, in whole lines. Nothing is drawn but when
    :meth:`show` is called, so there is no thread, which processes that are forked would have half of; and the cursor is
    never hidden, so that a process that is killed leaves a terminal that can be used.

    Args:
        interval: Seconds between two drawings, at least.
    """

    def __init__(self, interval: float = 0.25) -> None:
        from rich.console import Console
        from rich.live import Live

        class Cursor(Console):
            """A console whose cursor stays visible."""

            def show_cursor(self, show: bool = True) -> bool:
                return False

        self.interval = interval
        self._share, self._facts = 0.0, ['']
        self._drawn, self._gone = 0.0, False
        self._streams: list[tuple[logging.StreamHandler, Any]] = []
        self._console = Cursor(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._line,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # what goes to a file is left alone
        )

    def open(self) -> None:
        """Takes the last line of the terminal."""
        before = (sys.stdout, sys.stderr)
        self._live.start()
        for handler in _handlers():
            for stream, proxy in zip(before, (sys.stdout, sys.stderr), strict=True):
                if handler.stream is stream and proxy is not stream:
                    handler.setStream(proxy)
                    self._streams.append((handler, stream))
                    break
        atexit.register(self.close)

    def show(self, share: float, facts: Sequence[str], at_once: bool = False) -> None:
        """Changes the line, unless it was changed just before.

        Args:
            share: How much is done, 0 to 1.
            facts: What to say, the most important first.
            at_once: Whether to draw it in any case.
        """
        self._share, self._facts = share, list(facts)
        now = time.monotonic()
        if self._gone or (not at_once and now - self._drawn < self.interval):
            return
        self._drawn = now
        try:
            self._live.refresh()
        except OSError:  # the terminal is gone, which is no reason to stop what is shown
            self._gone = True
            self.close()

    def close(self) -> None:
        """Removes the line and gives the terminal back; may be called again."""
        atexit.unregister(self.close)
        for handler, stream in self._streams:
            handler.setStream(stream)
        self._streams.clear()
        with contextlib.suppress(OSError):
            self._live.stop()

    def _line(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        room = self._console.width - 1
        text = self._facts[0]
        for fact in self._facts[1:]:
            if len(text) + len(fact) + 2 > room - 10:
                break
            text += f'  {fact}'
        width = min(WIDEST_BAR, room - len(text) - 1)
        line = Table.grid(padding=(0, 1, 0, 0))
        shown = Text(text, no_wrap=True, overflow='ellipsis')
        if width < 5:
            line.add_row(shown)
        else:
            line.add_row(ProgressBar(total=1.0, completed=self._share, width=width), shown)
        return line


def _handlers() -> list[logging.StreamHandler]:
    """What logs to a stream that is no file."""
    loggers = [logging.getLogger(), *MMLogger._instance_dict.values()]
    return [
        handler
        for logger in loggers
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]
