"""A progress line on the standard error."""

from __future__ import annotations

import shutil
import sys
import time


class ProgressLine:
    """Shows the images done, the images per second and the time left, on a terminal and in a notebook.

    Attributes:
        failed: the images that failed so far, which the line tells
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._first = 0
        self._length = 0
        self._shown = sys.stderr.isatty() or _in_notebook()
        self.failed = 0

    def start(self, done: int) -> None:
        """Starts the clock. The speed does not count the images that are done already."""
        self._start, self._first = time.monotonic(), done

    def __call__(self, done: int, total: int) -> None:
        rate = self._rate(done)
        failed = f", {self.failed} failed" if self.failed else ""
        self._show(f"{done}/{total} images{failed}, {rate:.1f} images/s", done, total)

    def _rate(self, done: int) -> float:
        return (done - self._first) / max(time.monotonic() - self._start, 1e-9)

    def _show(self, text: str, done: int, total: int) -> None:
        """Writes over the line that is there. A line that were wider than the terminal would not be."""
        if not self._shown:
            return
        rate = self._rate(done)
        text += f", {duration((total - done) / rate)} left" if rate and done < total else ""
        text = text[: shutil.get_terminal_size().columns - 1]
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{text:{self._length}}{end}")
        sys.stderr.flush()
        self._length = 0 if end else len(text)


class JobProgressLine(ProgressLine):
    """The same for a job, which has several phases."""

    def __init__(self) -> None:
        super().__init__()
        self._phase = ""

    def __call__(self, phase: str, done: int, total: int) -> None:  # type: ignore[override]
        if not self._shown:
            return
        if phase != self._phase:
            self._phase = phase
            self.start(done)
            if phase != "embedding":
                sys.stderr.write(f"{phase}\n")
        if phase in ("embedding", "codes"):
            super().__call__(done, total)


class EvaluationProgressLine(ProgressLine):
    """The same for an evaluation: what is measured, how much is done, and the time left."""

    def __call__(self, what: str, done: int, total: int) -> None:  # type: ignore[override]
        self._show(f"{done}/{total} {what}", done, total)


def _in_notebook() -> bool:
    """Whether IPython's kernel runs this. It shows the standard error in the cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(12.3), duration(600), duration(7500)
    ('12 s', '10 min', '2 h 05 min')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
