"""Ctrl-C during a call of the library."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """A context in which SIGINT waits until `handle` is called, or until the end.

    Python runs signal handlers wherever it happens to be. In a function that C calls, that can be before the first line
    of a `try`. What the handler raises would then be printed and lost.
    """

    def __init__(self) -> None:
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._waiting: list[tuple[int, FrameType | None]] = []

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, lambda number, frame: self._waiting.append((number, frame)))
        return self

    def handle(self) -> None:
        """Calls the program's own handler for the signals that wait. It usually raises KeyboardInterrupt."""
        while self._waiting and self._handler is not None:
            self._handler(*self._waiting.pop(0))

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._handler is None:
            return
        signal.signal(signal.SIGINT, self._handler)
        if value is None:
            self.handle()
