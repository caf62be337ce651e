"""The numbers of `fne report`: what a finished job says of its data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._command.comparison import Comparison
from fne._expansion import expanded_all
from fne._job import Job, row_numbers
from fne._saved import content, exists, file_errors, parsed
from fne.errors import InvalidArgumentError, SavedDataError

#: The most images that the map and the neighbours are made of.
_MOST_IMAGES = 2000

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


def neighbours(job: Job, how: Comparison) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The map and the neighbours of at most 2,000 embedded images.

    Args:
        how: the layers whose codes are compared, whether less their mean, and how far each image is expanded

    Returns:
        the images' numbers; their places on the map, which are the first two principal components of their codes, from
        0 to 1; and the cosine of each two images, where those in a row are to that image and the nearest that it takes
        along
    """
    good = numpy.flatnonzero(job.ok)
    if len(good) > _MOST_IMAGES:
        good = good[numpy.linspace(0, len(good) - 1, _MOST_IMAGES).astype(int)]
    columns = job.columns(how.layers)
    codes = PackedCodes.pack(_codes_of(job, good)[:, columns].reshape(len(good), -1))
    found, scores = codes.search(codes, len(codes), metric=how.metric)
    cosines = numpy.empty(scores.shape)
    numpy.put_along_axis(cosines, found, scores, 1)
    if how.expand:
        cosines = expanded_all(cosines, how.expand)
    values, vectors = numpy.linalg.eigh(codes.gram(centred=True))
    places = (
        vectors[:, -2:][:, ::-1] * numpy.sqrt(numpy.maximum(values[-2:][::-1], 0))
        if len(good) > 1
        else numpy.zeros((len(good), 2))
    )
    low, high = places.min(0), places.max(0)
    return good, (places - low) / numpy.where(high > low, high - low, 1), cosines
