"""`fne report`: a finished job as one HTML page."""

from __future__ import annotations

import argparse
import os
from typing import Any

import fne
from fne._arguments import as_path
from fne._command.arguments import new_command
from fne._command.figures import figures
from fne._command.output import say
from fne._command.page import page
from fne._saved import file_errors


def add_command(commands: Any) -> None:
    """Adds `fne report`."""
    command = new_command(
        commands,
        "report",
        run,
        "Writes an HTML page on a finished job: data set, network, failures, codes, a map, neighbours. "
        "The page needs no other file.",
        "examples:\n  fne report job --images photographs -o report.html",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument(
        "--images", metavar="FOLDER", help="the folder that the job's names are relative to, for the pictures"
    )
    command.add_argument("-o", "--output", default="report.html", help="the page (report.html)")


def run(given: argparse.Namespace) -> None:
    """Runs `fne report`."""
    write_report(fne.Job(given.job), given.output, given.images)
    say(given.output)


def write_report(job: fne.Job, output: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> None:
    """Writes the page.

    Args:
        images: the folder that the job's names are relative to, for the pictures; None: the working directory
    """
    if job.state == "running":
        raise fne.InvalidArgumentError(
            f"the job in '{job.folder}' is not finished: {job.images_done} of {len(job)} images are done"
        )
    path, text = as_path(output), page(job, figures(job), as_path(images or "."))
    with file_errors(path, "written"):
        path.write_text(text, encoding="utf-8")
