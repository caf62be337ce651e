"""Ctrl-C during a call of the library."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Interrupts:
    """A context in which SIGINT waits until `handle` is called, or until the end.

    Python runs signal handlers wherever it happens to be. In a function that C calls, that can be before the first line
    of a `try`. What the handler raises would then be printed and lost.
    """

    def __init__(self) -> None:
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._waiting: list[tuple[int, FrameType | None]] = []

    def __enter__(self) -> Self:
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


class Callbacks(Interrupts):
    """The same for a call of the library that calls back into Python.

    What a callback raises must not pass through C. It waits, and is raised at the end of the context.
    """

    def __init__(self) -> None:
        super().__init__()
        self._raised: list[BaseException] = []

    def attempt(self, body: Callable[[], Any]) -> None:
        """Calls a function, and keeps what it raises."""
        try:
            body()
        except BaseException as failure:
            self._raised.append(failure)

    def proceed(self, body: Callable[[], Any] | None = None) -> int:
        """What a callback that reports progress returns: 0, or 1 to end the call, because something was raised.

        Signals that wait are handled first. So every long call needs a callback: Python handles Ctrl-C only while it
        runs its own code.
        """
        self.attempt(self.handle)
        if body is not None and not self._raised:
            self.attempt(body)
        return int(bool(self._raised))

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, value, at)
        if value is None and self._raised:
            raise self._raised[0]
