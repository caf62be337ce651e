"""`fne report`: a finished job as one HTML page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import fne
from fne._arguments import as_path
from fne._codes import EXPANDED
from fne._command.arguments import add_images, images_of, new_command
from fne._command.comparison import comparison
from fne._command.figures import figures
from fne._command.output import give, say
from fne._command.page import page
from fne._command.projection import METHODS
from fne._command.searching import add_comparison, check_finished
from fne._saved import file_errors


def add_command(commands: Any) -> None:
    """Adds `fne report`."""
    command = new_command(
        commands,
        "report",
        run,
        "Writes an HTML page on a finished job: data set, network, failures, codes, a map, neighbours. "
        "The page needs no other file. Neighbours, outliers and the map are made of the codes of the last quarter of "
        "the layers. Each image takes its two nearest along when its neighbours are looked for, up to 2,000 images.",
        "examples:\n"
        "  fne report job --images photographs -o report.html\n"
        "  fne report job --images drawings --layers all",
    )
    command.add_argument("job", help="the job's folder")
    add_images(command)
    add_comparison(command, EXPANDED)
    command.add_argument(
        "--map",
        choices=METHODS,
        default="auto",
        help="how the map is made (auto: UMAP where umap-learn is installed, else t-SNE up to 5,000 images where "
        "scikit-learn is, else the principal components)",
    )
    command.add_argument("-o", "--output", default="report.html", help="the page (report.html)")


def run(given: argparse.Namespace) -> None:
    """Runs `fne report`."""
    job = fne.Job(given.job)
    write_report(
        job,
        given.output,
        images_of(job, given.images),
        layers=given.layers,
        metric=given.metric,
        expand=given.expand,
        method=given.map,
    )
    give({"output": given.output})
    say(given.output)


def write_report(
    job: fne.Job,
    output: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    layers: Sequence[str] | None = None,
    metric: str | None = None,
    expand: int | None = None,
    method: str = "auto",
) -> None:
    """Writes the page.

    Args:
        images: the folder that the job's names are relative to, for the pictures; None: the working directory
        layers, metric, expand: what the map and the neighbours are made of, as in `comparison`
        method: how the map is made, as in `project`
    """
    check_finished(job)
    facts = figures(job)
    how = comparison(job, layers, metric, expand=expand)
    path, text = as_path(output), page(job, facts, as_path(images or "."), how, method)
    with file_errors(path, "written"):
        path.write_text(text, encoding="utf-8")
