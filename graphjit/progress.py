"""A line on the terminal that says what takes long; it is gone when that is done.

Where standard error is not a terminal, nothing is written.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds without a word.
PATIENCE = 1.0
#: Seconds between two words.
PAUSE = 0.1


class _Line:
    """What is shown of one task."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.next = time.perf_counter() + PATIENCE
        self.width = 0

    def show(self, text: str) -> None:
        now = time.perf_counter()
        if now >= self.next and _is_terminal():
            self.next = now + PAUSE
            line = f"graphjit: {self.title}: {text}"[: _columns() - 1]
            self._write("\r" + line.ljust(self.width))
            self.width = len(line)

    def erase(self) -> None:
        if self.width:
            self._write("\r" + " " * self.width + "\r")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


_local = threading.local()


@contextmanager
def shown(title: str) -> Iterator[None]:
    """While this lasts, `report` shows what it is told; a task within a task is not shown."""
    if getattr(_local, "line", None) is not None:
        yield
        return
    line = _local.line = _Line(title)
    try:
        yield
    finally:
        _local.line = None
        line.erase()


def report(text: str) -> None:
    """Say how far the task of this thread is, if it has taken long."""
    line: _Line | None = getattr(_local, "line", None)
    if line is not None:
        line.show(text)


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
