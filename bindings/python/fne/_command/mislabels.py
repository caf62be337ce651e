"""`fne mislabels`: the images of a job whose neighbours agree on another class."""

from __future__ import annotations

import argparse
from typing import Any

import fne
from fne._codes import EXPANDED
from fne._command.arguments import new_command
from fne._command.cleaning import add_outputs, doubts_of, draw, write_table
from fne._command.comparison import comparison
from fne._command.output import give, say
from fne._command.searching import add_comparison, check_finished
from fne._command.sheet import Hit
from fne._duplicates import duplicates
from fne._folders import places_in_folders
from fne._mislabels import LIMIT, NEIGHBOURS


def add_command(commands: Any) -> None:
    """Adds `fne mislabels`."""
    command = new_command(
        commands,
        "mislabels",
        run,
        "Finds images of a job whose label looks wrong. A label is the folder of the image; a folder such as train or "
        f"test is a split, and the folder in it is the label. The {NEIGHBOURS} nearest images vote with their cosines, "
        "but for copies of the image. The score is the share of the other class less that of its own.",
        "examples:\n  fne mislabels job\n  fne mislabels job -o doubts.html --csv doubts.csv",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument(
        "--limit", type=float, default=LIMIT, metavar="S", help=f"the smallest score that is listed, up to 1 ({LIMIT})"
    )
    add_comparison(command, EXPANDED, expands=False)
    add_outputs(command)


def run(given: argparse.Namespace) -> None:
    """Runs `fne mislabels`."""
    job = fne.Job(given.job)
    check_finished(job)
    names = job.names
    labels = {place.label for place in places_in_folders(names)} - {""}
    if len(labels) < 2:
        raise fne.InvalidArgumentError(
            f"the images of the job in '{job.folder}' lie in {len(labels)} folders of classes; two are needed"
        )
    how = comparison(job, given.layers, given.metric)
    found = doubts_of(job, duplicates(job), how, given.limit)
    say(f"by the {how.words}")
    for doubt in found:
        say(f"{doubt.score:.3f}  {names[doubt.image]}: {doubt.label}, neighbours say {doubt.other}")
    say(f"{len(found)} labels look wrong, of {int(job.ok.sum())} images in {len(labels)} classes")
    if given.csv:
        rows = [[f"{doubt.score:.6f}", doubt.image, names[doubt.image], doubt.label, doubt.other] for doubt in found]
        write_table(given.csv, ["score", "image", "name", "label", "other"], rows)
    missing = None
    if given.output:
        hits = [[Hit(doubt.image, names[doubt.image], doubt.score)] for doubt in found]
        missing = draw(job, hits, given, "doubtful labels", f"{len(found)} labels look wrong, by the {how.words}")
    doubts = [{"name": names[doubt.image], **doubt._asdict()} for doubt in found]
    give(
        {
            "compared": how.words,
            "limit": given.limit,
            "doubts": doubts,
            "output": given.output,
            "missing pictures": missing,
        }
    )
