"""The search over a job's codes that `fne search` and `fne serve` share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

import fne
from fne._backend import ENGINES
from fne._codes import METRICS
from fne._command.arguments import DEFAULT_NETWORK, network
from fne._command.comparison import FEWEST_IMAGES, LAYERS, Comparison
from fne._command.sheet import Hit
from fne._expansion import NEAREST, expanded
from fne._saved import exists
from fne.errors import reworded


class Searched(NamedTuple):
    """The images that are searched.

    images: int64 [n], the numbers of the images in the job
    codes: their codes, in that order
    """

    images: NDArray[numpy.int64]
    codes: fne.PackedCodes


def add_comparison(
    command: argparse.ArgumentParser, metrics: Sequence[str] = tuple(METRICS), *, expands: bool = True
) -> None:
    """Adds the options that say what is compared, and how.

    Args:
        metrics: those that the command can take
        expands: whether a query can take others along
    """
    command.add_argument(
        "--layers",
        action="append",
        metavar="SELECTOR",
        help=f"the layers to compare, such as all or penultimate; may be repeated ({LAYERS.replace('%', '%%')})",
    )
    command.add_argument(
        "--metric",
        choices=metrics,
        help=f"what nearest means (centred, or cosine with fewer than {FEWEST_IMAGES} images)",
    )
    if expands:
        command.add_argument(
            "--expand",
            type=int,
            metavar="N",
            help=f"how many of the nearest images go along with each query ({NEAREST}, or 0 below {FEWEST_IMAGES} "
            "images and by other metrics than centred)",
        )


def check_finished(job: fne.Job) -> None:
    """Refuses a job that is not finished."""
    if job.state == "running":
        raise fne.InvalidArgumentError(
            f"the job in '{job.folder}' is not finished: {job.images_done} of {len(job)} images are done"
        )


def check_rows(job: fne.Job) -> None:
    """Refuses a job whose images have several rows."""
    if job.rows_per_image != 1:
        raise fne.InvalidArgumentError("the job has ten crops per image; search needs one row per image")


def check_codes(job: fne.Job) -> dict[str, Any]:
    """How a job's codes were made. A job without codes is refused."""
    codes: dict[str, Any] | None = job.manifest["codes"]
    if codes is None:
        raise fne.FileError(
            f"the job in '{job.folder}' has no codes; run it again with codes, such as fne embed --codes int8"
        )
    return codes


def job_model(job: fne.Job, given: argparse.Namespace) -> fne.Model:
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


def query_codes(
    job: fne.Job, extractor: fne.Extractor, queries: Sequence[Any]
) -> tuple[fne.PackedCodes, dict[int, str]]:
    """The codes of queries by the job's statistics and thresholds, and why queries are bad.

    Args:
        queries: paths, or images as the extractor takes them
    """
    codes = check_codes(job)
    if not exists(job.folder / "stats.npy"):
        raise fne.FileError(
            f"the job in '{job.folder}' was made with given statistics, which it does not keep; it cannot code a query"
        )
    mean, std = job.stats
    packed, outcome = extractor.embed_packed(
        list(queries), mean, std, lower=codes["lower"], upper=codes["upper"], rules=codes["rules"]
    )
    return packed, outcome.reasons


def of_layers(job: fne.Job, codes: fne.PackedCodes, layers: Sequence[str]) -> fne.PackedCodes:
    """The codes of some of the job's layers."""
    return codes if list(layers) == [layer.name for layer in job.layers] else codes.select(layers)


def searched(job: fne.Job, codes: fne.PackedCodes) -> Searched:
    """What is searched of a job's codes. Images that failed are left out."""
    good = numpy.flatnonzero(job.ok)
    return Searched(good, codes if len(good) == len(job) else codes[good])


def nearest(
    job: fne.Job,
    base: Searched,
    queries: fne.PackedCodes,
    k: int,
    how: Comparison,
    among: NDArray[numpy.int64] | None = None,
) -> list[list[Hit]]:
    """The k images that are nearest to each query.

    Args:
        among: the rows of base that are searched; None: all. The scores are those of a search of all.
    """
    count = len(base.codes) if among is None else len(among)
    if not count:
        return [[] for _ in range(len(queries))]
    if among is None:
        rows, scores = base.codes.search(queries, min(k, count), metric=how.metric, expand=how.expand)
    else:
        found = [_of_some(base.codes, queries[number], how, among, min(k, count)) for number in range(len(queries))]
        rows, scores = numpy.stack([row for row, _ in found]), numpy.stack([values for _, values in found])
    return [
        [Hit(int(image), job.names[image], float(score)) for image, score in zip(base.images[row], values, strict=True)]
        for row, values in zip(rows, scores, strict=True)
    ]


def _of_some(
    codes: fne.PackedCodes, query: fne.PackedCodes, how: Comparison, among: NDArray[numpy.int64], k: int
) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
    """The k rows among some of the codes that are nearest to a query, which takes its nearest of all codes along."""
    near = codes.search(query, min(how.expand, len(codes)), metric=how.metric)[0][0] if how.expand else among[:0]
    rows = numpy.concatenate([near, among])
    asked = fne.PackedCodes(numpy.concatenate([query.words, codes[near].words]), codes.feature_count)
    mean = codes.mean() if how.metric == "centred" else None
    found, values = codes[rows].search(asked, len(rows), metric=how.metric, mean=mean)
    scores = numpy.empty_like(values)
    numpy.put_along_axis(scores, found, values, 1)
    kept = expanded(scores[0], numpy.arange(len(near)), scores[1:])[len(near) :] if how.expand else scores[0]
    order = numpy.argsort(-kept, kind="stable")[:k]
    return among[order], kept[order]
