"""A progress line on the standard error."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """Shows the images done, the images per second and the time left, on a terminal and in a notebook."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._first = 0
        self._shown = sys.stderr.isatty() or _in_notebook()

    def start(self, done: int) -> None:
        """Starts the clock. The speed does not count the images that are done already."""
        self._start, self._first = time.monotonic(), done

    def __call__(self, done: int, total: int) -> None:
        if not self._shown:
            return
        rate = (done - self._first) / max(time.monotonic() - self._start, 1e-9)
        left = f"{duration((total - done) / rate)} left" if rate else ""
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done}/{total} images, {rate:.1f} images/s, {left}  {end}")
        sys.stderr.flush()


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
