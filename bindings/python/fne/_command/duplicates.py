"""`fne duplicates`: the images of a job that are copies of each other."""

from __future__ import annotations

import argparse
from typing import Any

import fne
from fne._command.arguments import new_command
from fne._command.cleaning import Copies, add_outputs, copies_of, draw, warn_of_few, write_table
from fne._command.output import give, say
from fne._command.searching import check_finished
from fne._command.sheet import Hit
from fne._duplicates import LIMIT


def add_command(commands: Any) -> None:
    """Adds `fne duplicates`."""
    command = new_command(
        commands,
        "duplicates",
        run,
        "Finds images of a job that are copies of each other, such as smaller, cropped, mirrored or grey ones. "
        "A group's score is its largest distance inside over the smallest to another image. Shots of one scene may be "
        "among them. Groups across splits such as train and test come first. No file is removed.",
        "examples:\n"
        "  fne duplicates job\n"
        "  fne duplicates job -o copies.html --csv copies.csv\n"
        "  fne duplicates job --extra",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument(
        "--limit", type=float, default=LIMIT, metavar="R", help=f"the largest score of a group, 0 to 1 ({LIMIT})"
    )
    command.add_argument(
        "--extra", action="store_true", help="print only the names of all but the first image of each group"
    )
    add_outputs(command)


def run(given: argparse.Namespace) -> None:
    """Runs `fne duplicates`."""
    if given.extra and (given.csv or given.output or given.json):
        raise fne.InvalidArgumentError("--extra prints names alone; leave out --csv, --output and --json")
    job = fne.Job(given.job)
    check_finished(job)
    warn_of_few(job)
    found, names = copies_of(job, given.limit), job.names
    if given.extra:
        for copies in found:
            for image in copies.group.images[1:]:
                say(names[image])
    else:
        _print(found, names)
    if given.csv:
        rows = [
            [number, f"{copies.group.score:.6f}", " ".join(copies.leak), image, names[image]]
            for number, copies in enumerate(found, 1)
            for image in copies.group.images
        ]
        write_table(given.csv, ["group", "score", "leak", "image", "name"], rows)
    missing = None
    if given.output:
        hits = [[Hit(image, names[image], copies.group.score) for image in copies.group.images] for copies in found]
        missing = draw(job, hits, given, "copies", f"{len(found)} groups of copies; the numbers are the groups' scores")
    groups = [
        {
            "score": copies.group.score,
            "leak": copies.leak,
            "images": [{"image": image, "name": names[image]} for image in copies.group.images],
        }
        for copies in found
    ]
    give({"limit": given.limit, "groups": groups, "output": given.output, "missing pictures": missing})


def _print(found: list[Copies], names: list[str]) -> None:
    for copies in found:
        leak = f"  LEAK: the same picture is in {' and '.join(copies.leak)}" if copies.leak else ""
        say(f"{copies.group.score:.3f}{leak}")
        for image in copies.group.images:
            say(f"  {names[image]}")
    images, leaks = sum(len(copies.group.images) for copies in found), sum(bool(copies.leak) for copies in found)
    say(f"{len(found)} groups of copies, {images} images; {leaks} groups are leaks across splits")
