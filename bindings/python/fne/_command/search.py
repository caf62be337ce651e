"""`fne search`: the images of a job that are nearest to others."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import fne
from fne._arguments import as_path
from fne._command.arguments import add_goal, add_images, add_saved_model_choice, images_of, new_command
from fne._command.comparison import Comparison, compact_comparison, comparison
from fne._command.output import give, say, warn
from fne._command.searching import add_comparison, check_rows, job_model, nearest, of_layers, query_codes, searched
from fne._command.sheet import Hit, write_sheet
from fne._saved import exists
from fne.compact import CompactCodes
from fne.errors import MissingFileError


def add_command(commands: Any) -> None:
    """Adds `fne search`."""
    command = new_command(
        commands,
        "search",
        run,
        "Finds the images of a job that are nearest to others, by the cosine of their ternary codes. Codes of the last "
        "quarter of the layers are compared, less the mean code of the job's images. Each query takes its two nearest "
        "images along. With fewer than 50 images the mean stays, and the query is alone. For few images of each kind, "
        "--expand 0 is better.",
        "examples:\n"
        "  fne search job query.jpg -k 10\n"
        "  fne search job drawing.png --layers last:10% --expand 0\n"
        "  fne search job a.jpg b.jpg -o sheet.png\n"
        "  fne search job queries -o sheet.html\n"
        "  fne search job query.jpg --model network.pb --images photographs -o sheet.png\n"
        "  fne search job query.jpg --compact compact.fne",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument("queries", nargs="+", metavar="image", help="the images to look for, or folders of images")
    command.add_argument("--model", help="the job's network (where it was when the job ran)")
    add_saved_model_choice(command)
    command.add_argument("-k", type=int, default=10, metavar="K", help="how many images to find (10)")
    add_comparison(command)
    command.add_argument(
        "--compact",
        metavar="FILE",
        help="compare compact codes of 128 bytes instead, which are made of the job's features by FILE. It is fitted "
        "to them and written where it does not exist, by default to the layers penultimate. That takes 200 images.",
    )
    add_images(command)
    add_goal(command, "throughput", "batches as large as the job's, or latency for one image and a large network")
    command.add_argument(
        "-o",
        "--output",
        metavar="SHEET",
        help="also draw the images found, with a row for each query: a PNG, or a page where the name ends in .html",
    )


def run(given: argparse.Namespace) -> None:
    """Runs `fne search`."""
    job = fne.Job(given.job)
    queries = _queries(given.queries)
    model = job_model(job, given)
    # Of a folder, bad images are left out and named. What is named itself must be good.
    on_error = "raise" if queries == given.queries else "skip"
    with job.extractor(model, on_error=on_error, goal=given.goal) as extractor:
        if given.compact:
            compact = _compact(job, model, given.compact, given.layers)
            how = compact_comparison(job, compact, given.metric, given.expand)
            base, codes, reasons = _compact_codes(job, extractor, queries, compact)
        else:
            how = comparison(
                job, given.layers, given.metric, lambda: [tensor.name for tensor in model.penultimate()], given.expand
            )
            base, codes, reasons = _codes(job, extractor, queries, how)
    good = _good(queries, reasons)
    found = nearest(job, searched(job, base), codes[good], given.k, how)
    shown = [queries[number] for number in good]
    say(f"by the {how.words}")
    for query, hits in zip(shown, found, strict=True):
        say(query)
        for hit in hits:
            say(f"  {hit.score:8.4f}  {hit.name}")
    missing = _draw(job, shown, found, given, f"by the {how.words}") if given.output else None
    results = [
        {"query": query, "found": [hit._asdict() for hit in hits]} for query, hits in zip(shown, found, strict=True)
    ]
    give({"compared": how.words, "queries": results, "output": given.output, "missing pictures": missing})


def _queries(given: Sequence[str]) -> list[str]:
    """The images to look for. A folder stands for the images in it."""
    result: list[str] = []
    for name in given:
        below = list(fne.list_images(name)) if os.path.isdir(name) else [name]
        if not below:
            raise MissingFileError(f"the folder '{name}' holds no images to look for")
        result += below
    return result


def _good(queries: Sequence[str], reasons: dict[int, str]) -> list[int]:
    """The numbers of the queries that could be embedded. The others are named."""
    for number, reason in reasons.items():
        warn(f"skipped: {queries[number]}: {reason}")
    if len(reasons) == len(queries):
        raise fne.ImageError("none of the images to look for could be embedded")
    return [number for number in range(len(queries)) if number not in reasons]


def _draw(job: fne.Job, queries: Sequence[str], found: list[list[Hit]], given: argparse.Namespace, title: str) -> int:
    """Draws the sheet, and says how many pictures it lacks."""
    images = images_of(job, given.images)
    missing = write_sheet(queries, found, given.output, images, title)
    say(given.output)
    if missing:
        say(
            f"{missing} of {sum(map(len, found))} pictures are missing: these images are not below '{images}', or "
            "cannot be read; --images names their folder"
        )
    return missing


def _codes(
    job: fne.Job, extractor: fne.Extractor, queries: Sequence[str], how: Comparison
) -> tuple[fne.PackedCodes, fne.PackedCodes, dict[int, str]]:
    """The codes of a job's images and of queries, by the job's statistics and thresholds, and why queries are bad."""
    check_rows(job)
    packed, reasons = query_codes(job, extractor, queries)
    return of_layers(job, job.packed_codes(), how.layers), of_layers(job, packed, how.layers), reasons


def _compact(job: fne.Job, model: Any, file: str, layers: Sequence[str] | None) -> CompactCodes:
    """The compact codes of a file. Where there is none, they are fitted to the job, and the file is written."""
    if exists(as_path(file)):
        if layers is not None:
            raise fne.InvalidArgumentError(
                f"--layers says what new compact codes are fitted to, and '{file}' exists; leave one of the two out"
            )
        return CompactCodes.load(file)
    compact = CompactCodes.fit(job, layers=layers or "penultimate", model=model)
    compact.save(file)
    say(f"{file}: fitted to {compact.image_count} images")
    return compact


def _compact_codes(
    job: fne.Job, extractor: fne.Extractor, queries: Sequence[str], compact: CompactCodes
) -> tuple[fne.PackedCodes, fne.PackedCodes, dict[int, str]]:
    """The compact codes of a job's images and of queries, and why queries are bad."""
    check_rows(job)
    base = compact.transform(job)
    extraction = extractor.extract(list(queries))
    features = extraction.features[:, job.columns(compact.layers)]
    features[~extraction.ok] = 0  # these codes are left out
    return base, compact.transform(features), extraction.reasons
