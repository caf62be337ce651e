"""What the command prints: lines that a terminal shows as they are, whatever names they hold."""

from __future__ import annotations

import argparse
import sys
import traceback
from typing import Any, NoReturn, TextIO

from fne._text import printable


def say(line: Any = "") -> None:
    """Prints a line on the standard output."""
    _print(str(line), sys.stdout)


def warn(line: Any) -> None:
    """Prints a line on the standard error."""
    _print(str(line), sys.stderr)


def show_traceback() -> None:
    """Prints the traceback of the exception that is being handled."""
    for line in traceback.format_exc().rstrip("\n").split("\n"):
        warn(line)


def _print(line: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    print(printable(line).encode(encoding, "backslashreplace").decode(encoding), file=stream)


class Parser(argparse.ArgumentParser):
    """A parser whose errors may quote an argument, such as a file's name that the shell put there."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))
