"""`fne search`: the images of a job that are nearest to others."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import numpy

import fne
from fne._arguments import as_path
from fne._backend import ENGINES
from fne._codes import METRICS
from fne._command.arguments import (
    DEFAULT_NETWORK,
    add_images,
    add_saved_model_choice,
    images_of,
    network,
    new_command,
)
from fne._command.comparison import FEWEST_IMAGES, LAYERS, Comparison, compact_comparison, comparison
from fne._command.output import give, say, warn
from fne._command.sheet import Hit, write_sheet
from fne._expansion import NEAREST
from fne._saved import exists
from fne.compact import CompactCodes
from fne.errors import MissingFileError, reworded


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
        "--expand",
        type=int,
        metavar="N",
        help=f"how many of the nearest images go along with each query ({NEAREST}, or 0 below {FEWEST_IMAGES} images "
        "and by other metrics than centred)",
    )
    command.add_argument(
        "--compact",
        metavar="FILE",
        help="compare compact codes of 128 bytes instead, which are made of the job's features by FILE. It is fitted "
        "to them and written where it does not exist, by default to the layers penultimate. That takes 200 images.",
    )
    add_images(command)
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
    model = _model(job, given)
    # Of a folder, bad images are left out and named. What is named itself must be good.
    on_error = "raise" if queries == given.queries else "skip"
    with job.extractor(model, on_error=on_error) as extractor:
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
    found = _nearest(job, base, codes[good], given.k, how)
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


def _model(job: fne.Job, given: argparse.Namespace) -> fne.Model:
    """The job's network: the one that is given, the one that the job remembers, or the default network."""
    wanted = job.manifest["settings"]["model"]["sha256"]
    if given.model is not None:
        model = network(given)
        if model.sha256() != wanted:
            raise fne.JobMismatchError(
                f"--model {given.model} is not the network that the job in '{job.folder}' was made with"
            )
        return model
    if given.signature is not None or given.tags is not None:
        raise fne.InvalidArgumentError("--signature and --tags say what is taken of --model, which is not given")
    try:
        return job.model(allow_unsafe=given.allow_unsafe)
    except fne.UnsafeGraphError:
        raise
    except fne.FNEError as failure:
        default = _default_network(wanted)
        if default is None:
            raise reworded(failure, f"{failure}; name it with --model") from None
        return default


def _default_network(wanted: str) -> fne.Model | None:
    """The default network, where it is installed and is the one that is wanted."""
    try:
        models = [fne.Model(DEFAULT_NETWORK, engine=engine) for engine in ENGINES]
    except fne.FNEError:
        return None
    return next((model for model in models if model.sha256() == wanted), None)


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
    _check_rows(job)
    codes = job.manifest["codes"]
    if codes is None:
        raise fne.FileError(f"the job in '{job.folder}' has no codes yet")
    if not exists(job.folder / "stats.npy"):
        raise fne.FileError(
            f"the job in '{job.folder}' was made with given statistics, which it does not keep; it cannot code a query"
        )
    base = job.packed_codes()
    mean, std = job.stats
    packed, outcome = extractor.embed_packed(
        list(queries), mean, std, lower=codes["lower"], upper=codes["upper"], rules=codes["rules"]
    )
    if how.layers != [layer.name for layer in job.layers]:
        base, packed = base.select(how.layers), packed.select(how.layers)
    return base, packed, outcome.reasons


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
    job: fne.Job, extractor: fne.Extractor, queries: Sequence[str], compact: CompactCodes
) -> tuple[fne.PackedCodes, fne.PackedCodes, dict[int, str]]:
    """The compact codes of a job's images and of queries, and why queries are bad."""
    _check_rows(job)
    base = compact.transform(job)
    extraction = extractor.extract(list(queries))
    features = extraction.features[:, job.columns(compact.layers)]
    features[~extraction.ok] = 0  # these codes are left out
    return base, compact.transform(features), extraction.reasons


def _nearest(job: fne.Job, base: fne.PackedCodes, queries: fne.PackedCodes, k: int, how: Comparison) -> list[list[Hit]]:
    """The k images of a job that are nearest to each query. Images that failed are left out."""
    good = numpy.flatnonzero(job.ok)
    if len(good) < len(job):
        base = base[good]
    indices, scores = base.search(queries, min(k, len(base)), metric=how.metric, expand=how.expand)
    return [
        [Hit(int(good[index]), job.names[good[index]], float(score)) for index, score in zip(row, values, strict=True)]
        for row, values in zip(indices, scores, strict=True)
    ]
