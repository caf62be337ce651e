"""What the command prints: lines that a terminal shows as they are, whatever names they hold."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from typing import Any, NoReturn, TextIO

from fne._text import printable

_json: list[bool] = [False]


def use_json(is_used: bool) -> None:
    """Says whether the standard output holds one JSON value, in place of lines for people."""
    _json[0] = is_used


def say(line: Any = "") -> None:
    """Prints a line on the standard output, for people."""
    if not _json[0]:
        _print(str(line), sys.stdout)


def give(result: Any) -> None:
    """Prints a command's result as JSON, where that is asked for."""
    if _json[0]:
        _print(json.dumps(result), sys.stdout)


def flush() -> None:
    """Hands on what was printed, where a command goes on for long."""
    sys.stdout.flush()


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
