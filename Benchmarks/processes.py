"""Processes that measure something each time they are asked, so that engines do not disturb each other."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


class NotRunning(Exception):
    """A process ended before it was ready, or while it measured. The text is the last line that it wrote."""


class Engine:
    """A process, started and warm. It prints "ready" once, and then a line for each line that it reads.

    Args:
        command: the program and its arguments
        environment: None: that of this process

    Raises:
        NotRunning: it ended before it was ready
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        # A file takes any number of warnings, where a pipe that nobody reads would stop the process.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        # What libraries print comes first.
        while (line := self._line()) != "ready":
            if line is None:
                raise self._ended()

    def ask(self) -> str:
        """Lets it measure once, and returns the line that it answers.

        Raises:
            NotRunning: it ended instead
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        line = self._line()
        if line is None:
            raise self._ended()
        return line

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _line(self) -> str | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return line.rstrip("\n") if line else None

    def _ended(self) -> NotRunning:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        status = self._process.returncode
        self.close()
        return NotRunning(lines[-1] if lines else f"it ended with status {status} and said nothing")
