"""The numbers of `fne report`: what a finished job says of its data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._command.comparison import Comparison
from fne._command.projection import Projection, project
from fne._expansion import expanded_all
from fne._job import Job, row_numbers
from fne._saved import content, exists, file_errors, parsed
from fne.errors import InvalidArgumentError, SavedDataError

#: The most images that the map and the neighbours are made of, and the most that take others along in their search.
_MOST_IMAGES, _MOST_EXPANDED = 20_000, 2000

#: The neighbours of each image.
_NEAREST = 10

#: The most failures that are listed.
_MOST_FAILURES = 200

#: The most bytes of a file of runs, and the most seconds of a run: a thousand years.
_MOST_BYTES, _MOST_SECONDS = 1 << 24, 1000 * 365 * 86400


def figures(job: Job) -> dict[str, Any]:
    """All numbers of the page. The job keeps codes or features."""
    manifest = job.manifest
    if not job.ok.any():
        raise InvalidArgumentError(f"no image of the job in '{job.folder}' could be embedded; there is nothing to show")
    counts = _Counts(job.feature_count)
    for chunk in _codes(job):
        counts.add(chunk)
    deviations = job.stats[1] if exists(job.folder / "stats.npy") else None
    constant = counts.constant() if deviations is None else deviations == 0
    redundant = counts.redundant() & ~constant
    layers = [
        {
            "name": layer.name,
            "kind": layer.kind,
            "features": layer.feature_count,
            "minus": int(counts.minus[layer.features].sum()),
            "zero": int(counts.zero[layer.features].sum()),
            "plus": int(counts.plus[layer.features].sum()),
            "constant": int(constant[layer.features].sum()),
            "redundant": int(redundant[layer.features].sum()),
        }
        for layer in job.layers
    ]
    runs = _runs(job)
    return {
        "images": len(job),
        "embedded": int(job.ok.sum()),
        "failed": len(job.failures),
        "features": job.feature_count,
        "rows_per_image": job.rows_per_image,
        "layers": layers,
        "constant": int(constant.sum()),
        "redundant": int(redundant.sum()),
        "codes": manifest["codes"],
        "settings": {name: value for name, value in manifest["settings"].items() if name != "layers"},
        "engines": manifest["engines"],
        "runs": runs,
        "seconds": round(sum(run["seconds"] for run in runs), 3),
        "failures": [
            {"image": image, "name": job.names[image], "reason": reason}
            for image, reason in list(job.failures.items())[:_MOST_FAILURES]
        ],
    }


def _runs(job: Job) -> list[dict[str, Any]]:
    path = job.folder / "runs.jsonl"
    if not exists(path):
        return []
    with file_errors(path):
        size = path.stat().st_size
    if size > _MOST_BYTES:
        raise SavedDataError(f"'{path}' is damaged: it has {size} bytes")
    runs = [
        parsed(line, {"images": int, "seconds": float}, f"'{path}', line {number},")
        for number, line in enumerate(content(path).splitlines(), 1)
    ]
    for number, run in enumerate(runs, 1):
        if run["images"] < 0 or not 0 <= run["seconds"] <= _MOST_SECONDS:
            raise SavedDataError(f"'{path}', line {number}, is damaged: it has a number that no run can have")
    return runs


def _codes(job: Job, step: int = 256) -> Iterator[NDArray[numpy.int8]]:
    """The codes of the embedded images, some at a time."""
    good = numpy.flatnonzero(job.ok)
    for first in range(0, len(good), step):
        yield _codes_of(job, good[first : first + step])


def _codes_of(job: Job, images: NDArray[Any]) -> NDArray[numpy.int8]:
    if exists(job.folder / "codes.npy"):
        return numpy.asarray(job.codes(images=images))
    if exists(job.folder / "codes_packed.npy"):
        return job.packed_codes()[row_numbers(images, job.rows_per_image)].unpack()
    return job.ternarize(images=images)


class _Counts:
    """How often each feature is -1, 0 and 1, and which features are always equal to each other."""

    def __init__(self, features: int) -> None:
        self.minus, self.zero, self.plus = (numpy.zeros(features, numpy.int64) for _ in range(3))
        self._hashes = numpy.full(features, 14695981039346656037, numpy.uint64)

    def add(self, codes: NDArray[numpy.int8]) -> None:
        self.minus += (codes == -1).sum(0)
        self.zero += (codes == 0).sum(0)
        self.plus += (codes == 1).sum(0)
        for row in codes:
            self._hashes = (self._hashes ^ (row + 2).astype(numpy.uint64)) * numpy.uint64(1099511628211)

    def constant(self) -> NDArray[numpy.bool_]:
        total = self.minus + self.zero + self.plus
        return numpy.asarray((self.minus == total) | (self.zero == total) | (self.plus == total))

    def redundant(self) -> NDArray[numpy.bool_]:
        """The features whose codes equal those of an earlier feature in every image."""
        _, first = numpy.unique(self._hashes, return_index=True)
        result = numpy.ones(len(self._hashes), bool)
        result[first] = False
        return result


class Neighbourhood(NamedTuple):
    """The map and the neighbours of n embedded images.

    images: their numbers in the job, [n]
    projection: where they lie on the map
    nearest: the k nearest others of each, the nearest first, as places in `images`: [n, k]
    scores: how near these are, [n, k]
    words: what was left out for the number of images, or ""
    """

    images: NDArray[numpy.int64]
    projection: Projection
    nearest: NDArray[numpy.int64]
    scores: NDArray[numpy.float64]
    words: str


def neighbours(job: Job, how: Comparison, method: str = "auto") -> Neighbourhood:
    """The map and the ten nearest neighbours of at most 20,000 embedded images, which are evenly chosen.

    Above 2,000 images no image takes others along, since that would take minutes.

    Args:
        how: the layers whose codes are compared, whether less their mean, and how far each image is expanded
        method: how the map is made, as in `project`
    """
    good = numpy.flatnonzero(job.ok)
    images = good
    words = []
    if len(good) > _MOST_IMAGES:
        images = good[numpy.linspace(0, len(good) - 1, _MOST_IMAGES).astype(int)]
        words.append(f"{_MOST_IMAGES:,} of the {len(good):,} images, evenly chosen")
    codes = _packed(job, images, how)
    if how.expand and len(images) > _MOST_EXPANDED:
        words.append(f"above {_MOST_EXPANDED:,} images each is alone, and takes none along")
    if how.expand and len(images) <= _MOST_EXPANDED:
        nearest, scores = _expanded_nearest(codes, how)
    else:
        nearest, scores = _nearest(codes, how.metric)
    return Neighbourhood(images, project(codes, method), nearest, scores, "; ".join(words))


def _packed(job: Job, images: NDArray[numpy.int64], how: Comparison) -> PackedCodes:
    """The codes of some layers, one row per image: the rows of ten crops are joined."""
    columns = job.columns(how.layers)
    parts = []
    for first in range(0, len(images), 256):
        some = images[first : first + 256]
        parts.append(PackedCodes.pack(_codes_of(job, some)[:, columns].reshape(len(some), -1)))
    return PackedCodes(numpy.concatenate([part.words for part in parts]), parts[0].feature_count)


def _nearest(codes: PackedCodes, metric: str) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
    """The nearest others of each code, and their scores."""
    found, scores = codes.search(codes, min(_NEAREST + 1, len(codes)), metric=metric)
    own = found == numpy.arange(len(codes))[:, None]
    own[~own.any(1), -1] = True  # Of many equal codes, the image itself may not be among the nearest.
    return found[~own].reshape(len(codes), -1), scores[~own].reshape(len(codes), -1)


def _expanded_nearest(codes: PackedCodes, how: Comparison) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
    """The nearest others of each code and the codes that it takes along, and their scores."""
    found, scores = codes.search(codes, len(codes), metric=how.metric)
    cosines = numpy.empty(scores.shape)
    numpy.put_along_axis(cosines, found, scores, 1)
    cosines = expanded_all(cosines, how.expand)
    numpy.fill_diagonal(cosines, -numpy.inf)
    nearest = numpy.argsort(-cosines, axis=1, kind="stable")[:, : min(_NEAREST, len(codes) - 1)]
    return nearest, numpy.take_along_axis(cosines, nearest, 1)
