"""What `fne duplicates`, `fne mislabels` and the report's section share: findings on a job, and how they are shown."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from fne._arguments import as_path
from fne._command.arguments import add_images, images_of
from fne._command.comparison import Comparison
from fne._command.markup import Markup, element, joined
from fne._command.output import say, warn
from fne._command.sheet import Hit, write_job_sheet
from fne._duplicates import FEWEST_IMAGES, Group, duplicates, packed_rows
from fne._duplicates import LIMIT as GROUPS_LIMIT
from fne._folders import Place, places_in_folders
from fne._job import Job
from fne._mislabels import LIMIT as DOUBTS_LIMIT
from fne._mislabels import Doubt, mislabels
from fne._saved import file_errors

#: The report compares no more images than this, and shows no more groups and labels. The commands take all.
_MOST_IMAGES, _MOST_SHOWN = 20_000, 24


class Copies(NamedTuple):
    """A group of copies, and the splits that it lies in, where these are two or more."""

    group: Group
    leak: list[str]


def add_outputs(command: argparse.ArgumentParser) -> None:
    """Adds the options for what is written beside the lines."""
    add_images(command)
    command.add_argument("--csv", metavar="FILE", help="also write a table")
    command.add_argument(
        "-o", "--output", metavar="SHEET", help="also draw them: a PNG, or a page where the name ends in .html"
    )


def warn_of_few(job: Job) -> None:
    """Warns where the margins of a job's images say little."""
    images = int(job.ok.sum())
    if images < FEWEST_IMAGES:
        warn(f"fne: warning: {images} images; below {FEWEST_IMAGES} copies are hard to tell from images that are alike")


def copies_of(job: Job, limit: float) -> list[Copies]:
    """The groups of copies. Those across splits come first."""
    places = places_in_folders(job.names)
    found = [Copies(group, _leak(group, places)) for group in duplicates(job, limit)]
    return sorted(found, key=lambda copies: not copies.leak)


def _leak(group: Group, places: Sequence[Place]) -> list[str]:
    splits = sorted({places[image].split for image in group.images} - {""})
    return splits if len(splits) > 1 else []


def doubts_of(job: Job, groups: Sequence[Group], how: Comparison, limit: float) -> list[Doubt]:
    """The labels that look wrong, by the images' numbers in the job."""
    good = numpy.flatnonzero(job.ok)
    if not len(good):
        return []
    codes = packed_rows(job, good)
    if how.layers != [layer.name for layer in job.layers]:
        codes = codes.select(how.layers)
    places = places_in_folders(job.names)
    at = {int(image): place for place, image in enumerate(good)}
    moved = [group._replace(images=[at[image] for image in group.images]) for group in groups]
    found = mislabels(codes, [places[image].label for image in good], moved, how.metric, limit)
    return [doubt._replace(image=int(good[doubt.image])) for doubt in found]


def write_table(file: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Writes a CSV file."""
    path = as_path(file)
    with file_errors(path, "written"), path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    say(file)


def draw(job: Job, rows: list[list[Hit]], given: argparse.Namespace, heading: str, title: str) -> int:
    """Draws the sheet, and says how many pictures it lacks."""
    images = images_of(job, given.images)
    missing = write_job_sheet(rows, given.output, images, heading, title)
    say(given.output)
    if missing:
        say(
            f"{missing} of {sum(map(len, rows))} pictures are missing: these images are not below '{images}', or "
            "cannot be read; --images names their folder"
        )
    return missing


# ---- the report


def cleaning_section(job: Job, how: Comparison, figure: Callable[..., Markup]) -> Markup:
    """The report's section on copies and labels.

    Args:
        how: the layers and the metric by which neighbours vote on labels
        figure: draws an image by its number
    """
    title = element("h2", "Duplicates and doubtful labels")
    images = int(job.ok.sum())
    if images > _MOST_IMAGES or job.rows_per_image != 1:
        words = f"Not looked for: more than {_MOST_IMAGES:,} images, or ten crops of each. fne duplicates takes more."
        return joined(title, element("p", words))
    copies = copies_of(job, GROUPS_LIMIT)
    doubts = doubts_of(job, [one.group for one in copies], how, DOUBTS_LIMIT)
    leaks = sum(bool(one.leak) for one in copies)
    words = f"{len(copies)} groups of copies, {leaks} across splits; {len(doubts)} labels that the neighbours doubt."
    rows = [_copies_row(one, figure) for one in copies[:_MOST_SHOWN]]
    rows += [_doubt_row(doubt, figure) for doubt in doubts[:_MOST_SHOWN]]
    return joined(title, element("p", words), *rows)


def _copies_row(copies: Copies, figure: Callable[..., Markup]) -> Markup:
    leak = f", a leak: {', '.join(copies.leak)}" if copies.leak else ""
    cells = [figure(image) for image in copies.group.images[:8]]
    more = len(copies.group.images) - len(cells)
    rest = f", and {more} more" if more else ""
    return joined(
        element("p", element("small", f"copies, score {copies.group.score:.3f}{leak}{rest}")),
        element("div", *cells, class_="row"),
    )


def _doubt_row(doubt: Doubt, figure: Callable[..., Markup]) -> Markup:
    words = f"labelled {doubt.label}, neighbours say {doubt.other}, score {doubt.score:.2f}"
    return joined(element("p", element("small", words)), element("div", figure(doubt.image), class_="row"))
