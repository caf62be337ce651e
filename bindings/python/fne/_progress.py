"""A progress line on the standard error."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """Shows images done, images a second and the time left, on a terminal only."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._shown = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if not self._shown:
            return
        rate = done / max(time.monotonic() - self._start, 1e-9)
        left = (total - done) / rate if rate else 0.0
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done}/{total} images, {rate:.1f} images/s, {left:.0f} s left  {end}")
        sys.stderr.flush()
