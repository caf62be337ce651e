"""The command `fne`. `python -m fne` is the same."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import fne
from fne._command import (
    completion,
    doctor,
    duplicates,
    embed,
    evaluate,
    export,
    layers,
    mislabels,
    report,
    search,
    serve,
    verify,
)
from fne._command.arguments import EXIT_ERROR, EXIT_INTERRUPTED
from fne._command.output import Parser, show_traceback, use_json, warn

DESCRIPTION = """The Full-Network Embedding of images.

exit status: 0 done; 1 an error, named in one line on the standard error; 2 wrong usage; 130 interrupted (Ctrl-C)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit status."""
    given = _parser().parse_args(arguments)
    use_json(given.json)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", fne.JobWarning)
            warnings.simplefilter("always", fne.FewImagesWarning)
            warnings.showwarning = _show
            return int(given.run(given) or 0)
    except KeyboardInterrupt:
        warn("fne: interrupted")
        return EXIT_INTERRUPTED
    except (fne.FNEError, OSError, ValueError, TypeError, ImportError) as failure:
        if given.debug:
            show_traceback()
        warn(f"fne: {failure}")
        return EXIT_ERROR
    finally:
        use_json(False)


def _show(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Prints a warning in a line of its own, without the place in the source."""
    warn(f"fne: warning: {message}")


def _parser() -> argparse.ArgumentParser:
    """The parser of the command and its sub-commands."""
    result = Parser("fne", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--version", action="version", version=f"fne {fne.__version__} ({fne.build_info()})")
    commands = result.add_subparsers(title="commands", required=True, metavar="COMMAND")
    layers.add_command(commands)
    embed.add_command(commands)
    embed.add_merge_command(commands)
    verify.add_command(commands)
    evaluate.add_command(commands)
    search.add_command(commands)
    serve.add_command(commands)
    duplicates.add_command(commands)
    mislabels.add_command(commands)
    report.add_command(commands)
    export.add_command(commands)
    doctor.add_command(commands)
    completion.add_command(commands, result)
    return result
