"""`fne search`: the images of a job that are nearest to others."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

import fne
from fne._arguments import as_path
from fne._codes import METRICS
from fne._command.arguments import DEFAULT_NETWORK, add_saved_model_choice, network, new_command
from fne._command.comparison import FEWEST_IMAGES, LAYERS, Comparison, compact_comparison, comparison
from fne._command.output import say
from fne._command.pictures import picture_below, png, square
from fne._saved import exists, file_errors
from fne.compact import CompactCodes
from fne.errors import OutOfMemoryError

_SIDE, _GAP = 128, 6


def add_command(commands: Any) -> None:
    """Adds `fne search`."""
    command = new_command(
        commands,
        "search",
        run,
        "Finds the images of a job that are nearest to others, by the cosine of their ternary codes. Codes of the last "
        "tenth of the layers are compared, less the mean code of the job's images. With fewer than 50 images the mean "
        "stays. For pictures that are unlike photographs, such as drawings and letters, --layers all is often better.",
        "examples:\n"
        "  fne search job query.jpg --model network.pb -k 10\n"
        "  fne search job drawing.png --model network.pb --layers all\n"
        "  fne search job a.jpg b.jpg --model network.pb --images photographs -o sheet.png\n"
        "  fne search job query.jpg --model network.pb --compact compact.fne",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument("queries", nargs="+", metavar="image", help="the images to look for")
    command.add_argument("--model", default=DEFAULT_NETWORK, help=f"the job's network ({DEFAULT_NETWORK})")
    add_saved_model_choice(command)
    command.add_argument("-k", type=int, default=10, metavar="K", help="how many images to find (10)")
    command.add_argument(
        "--layers",
        action="append",
        metavar="SELECTOR",
        help=f"the layers to compare, such as all or penultimate; may be repeated ({LAYERS.replace('%', '%%')})",
    )
    command.add_argument(
        "--metric",
        choices=METRICS,
        help=f"what nearest means (centred, or cosine with fewer than {FEWEST_IMAGES} images)",
    )
    command.add_argument(
        "--compact",
        metavar="FILE",
        help="compare compact codes of 128 bytes instead, which are made of the job's features by FILE. It is fitted "
        "to them and written where it does not exist, by default to the layers penultimate. That takes 200 images.",
    )
    command.add_argument("--images", metavar="FOLDER", help="the folder that the job's names are relative to, for -o")
    command.add_argument(
        "-o", "--output", metavar="SHEET.png", help="also draw the images found, with a row for each query"
    )


def run(given: argparse.Namespace) -> None:
    """Runs `fne search`."""
    job = fne.Job(given.job)
    model = network(given)
    if given.compact:
        compact = _compact(job, model, given.compact, given.layers)
        how = compact_comparison(job, compact, given.metric)
        base, queries = _compact_codes(job, model, given.queries, compact)
    else:
        how = comparison(job, given.layers, given.metric, lambda: [tensor.name for tensor in model.penultimate()])
        base, queries = _codes(job, model, given.queries, how)
    found = _nearest(job, base, queries, given.k, how.metric)
    say(f"by the {how.words}")
    for query, hits in zip(given.queries, found, strict=True):
        say(query)
        for hit in hits:
            say(f"  {hit.score:8.4f}  {hit.name}")
    if given.output:
        contact_sheet(given.queries, found, given.output, given.images)
        say(given.output)


class Hit(NamedTuple):
    """An image of the job: its number, its name, and its score."""

    image: int
    name: str
    score: float


def _codes(
    job: fne.Job, model: Any, queries: Sequence[str | os.PathLike[str]], how: Comparison
) -> tuple[fne.PackedCodes, fne.PackedCodes]:
    """The codes of a job's images and of queries, with the job's statistics and thresholds."""
    _check_rows(job)
    codes = job.manifest["codes"]
    if codes is None:
        raise fne.FileError(f"the job in '{job.folder}' has no codes yet")
    if not exists(job.folder / "stats.npy"):
        raise fne.FileError(
            f"the job in '{job.folder}' was made with given statistics, which it does not keep; it cannot code a query"
        )
    base = job.packed_codes()
    with job.extractor(model) as extractor:
        mean, std = job.stats
        packed, _ = extractor.embed_packed(
            list(queries), mean, std, lower=codes["lower"], upper=codes["upper"], rules=codes["rules"]
        )
    if how.layers != [layer.name for layer in job.layers]:
        base, packed = base.select(how.layers), packed.select(how.layers)
    return base, packed


def _check_rows(job: fne.Job) -> None:
    if job.rows_per_image != 1:
        raise fne.InvalidArgumentError("the job has ten crops per image; search needs one row per image")


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
    job: fne.Job, model: Any, queries: Sequence[str | os.PathLike[str]], compact: CompactCodes
) -> tuple[fne.PackedCodes, fne.PackedCodes]:
    """The compact codes of a job's images and of queries."""
    _check_rows(job)
    base = compact.transform(job)
    with job.extractor(model) as extractor:
        features = extractor.extract(list(queries)).features
    return base, compact.transform(features[:, job.columns(compact.layers)])


def _nearest(job: fne.Job, base: fne.PackedCodes, queries: fne.PackedCodes, k: int, metric: str) -> list[list[Hit]]:
    """The k images of a job that are nearest to each query. Images that failed are left out."""
    good = numpy.flatnonzero(job.ok)
    if len(good) < len(job):
        base = base[good]
    indices, scores = base.search(queries, min(k, len(base)), metric=metric)
    return [
        [Hit(int(good[index]), job.names[good[index]], float(score)) for index, score in zip(row, values, strict=True)]
        for row, values in zip(indices, scores, strict=True)
    ]


def contact_sheet(
    queries: Sequence[str | os.PathLike[str]],
    found: list[list[Hit]],
    output: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
) -> None:
    """Draws a row for each query: the query itself, a gap, and the images found. An image that cannot be read,
    or lies outside the folder, is grey.

    Args:
        output: receives the sheet, a PNG
        images: the folder that the job's names are relative to; None: the working directory
    """
    root = images or "."
    columns = 1 + max(len(hits) for hits in found)
    step = _SIDE + _GAP
    sheet = numpy.full((len(queries) * step + _GAP, columns * step + 3 * _GAP, 3), 255, numpy.uint8)
    for row, (query, hits) in enumerate(zip(queries, found, strict=True)):
        pictures = [_readable(query), *(picture_below(root, hit.name) for hit in hits)]
        for column, pixels in enumerate(pictures):
            left = _GAP + column * step + (2 * _GAP if column else 0)
            sheet[_GAP + row * step :, left:][:_SIDE, :_SIDE] = 224 if pixels is None else square(pixels, _SIDE)
    path = as_path(output)
    with file_errors(path, "written"):
        path.write_bytes(png(sheet))


def _readable(path: str | os.PathLike[str]) -> NDArray[numpy.uint8] | None:
    try:
        return fne.read_image(path)
    except OutOfMemoryError:
        raise
    except (fne.FNEError, OSError):
        return None
