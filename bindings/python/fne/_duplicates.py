"""Groups of images that are copies of each other, by the margin to the next image that is none."""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._job import Job
from fne.errors import InvalidArgumentError

#: A group's largest distance inside is at most this share of the smallest distance to an image outside.
LIMIT = 0.55
#: With fewer images the margins say little.
FEWEST_IMAGES = 50

#: The images that the main directions are learned from, and how many directions there are at most.
_SAMPLE, _DIRECTIONS = 2000, 256
#: Along a direction with less of the largest dot product than this there is nothing but rounding.
_LEAST_VARIANCE = 1e-9
#: Images that are nearer than this are equal but for rounding in float32.
_EQUAL = 1e-5
#: The neighbours asked for, and the distance below which the last of them may still be a copy.
_NEIGHBOURS, _MOST_NEIGHBOURS, _CROWDED = 16, 256, 0.4
_BLOCK_BYTES = 64 << 20
_ROWS_AT_ONCE = 1024


class Group(NamedTuple):
    """Images that are copies of each other.

    images: their numbers in the job, ascending
    score: the largest distance inside over the smallest to an image outside, 0 to LIMIT; 0 is the surest
    """

    images: list[int]
    score: float


def duplicates(job: Job, limit: float = LIMIT) -> list[Group]:
    """The groups of near duplicates among a job's images. The surest come first.

    The codes of all layers are compared along their 256 main directions, each brought to the same variance. So what
    many images have in common, such as a class or being grey, counts little, and what only copies share counts much.
    Time is O(n^2) for n images, in blocks, and memory O(n).

    Args:
        limit: the largest score of a group, above 0 and below 1

    Raises:
        InvalidArgumentError: the limit is not in this range, or the job has ten rows per image
    """
    if not 0 < limit < 1:
        raise InvalidArgumentError(f"the limit is {limit}; it must be above 0 and below 1")
    good = numpy.flatnonzero(job.ok)
    if len(good) < 2:
        return []
    groups = groups_of(even_rows(packed_rows(job, good)), limit)
    return [Group(good[group.images].tolist(), group.score) for group in groups]


def packed_rows(job: Job, images: NDArray[numpy.int64]) -> PackedCodes:
    """The packed codes of some images. Where the job has no codes they are made of the features.

    Raises:
        InvalidArgumentError: the job has ten rows per image
    """
    if job.rows_per_image != 1:
        raise InvalidArgumentError("the job has ten crops per image; one row per image is needed")
    if job.manifest["codes"] is not None:
        codes = job.packed_codes()
        return codes if len(images) == len(codes) else codes[images]
    parts = [
        PackedCodes.pack(job.ternarize(images=images[start : start + _ROWS_AT_ONCE])).words
        for start in range(0, len(images), _ROWS_AT_ONCE)
    ]
    return PackedCodes(numpy.concatenate(parts), job.feature_count, job.layers)


def even_rows(codes: PackedCodes) -> NDArray[numpy.float32]:
    """The codes along their main directions, each brought to the same variance, over their norms: float32 [n, D + 1].

    The directions are those of at most 2,000 codes, evenly chosen. They follow from the dot products of these, so that
    no code is unpacked. D is at most 256, and half of these codes.
    """
    count = len(codes)
    chosen = numpy.linspace(0, count - 1, min(count, _SAMPLE)).astype(int)
    sample = codes[chosen]
    products = sample.dot(sample).astype(numpy.float64)
    means = products.mean(0)
    values, vectors = numpy.linalg.eigh(products - means - means[:, None] + means.mean())
    kept = numpy.arange(len(chosen))[::-1][: min(_DIRECTIONS, max(1, len(chosen) // 2))]
    kept = kept[values[kept] > products.max() * _LEAST_VARIANCE]
    directions = vectors[:, kept] / values[kept]
    # A code that is the mean has no direction. The last column is that of all such codes, so that they are equal.
    result = numpy.zeros((count, len(kept) + 1), numpy.float32)
    for start in range(0, count, _ROWS_AT_ONCE):
        part = codes[start : start + _ROWS_AT_ONCE].dot(sample).astype(numpy.float64)
        rows = (part - part.mean(1)[:, None] - means + means.mean()) @ directions
        norms = numpy.sqrt(numpy.einsum("ij,ij->i", rows, rows))[:, None]
        result[start : start + _ROWS_AT_ONCE, :-1] = rows / numpy.where(norms > 0, norms, 1)
        result[start : start + _ROWS_AT_ONCE, -1] = norms[:, 0] == 0
    return result


def groups_of(rows: NDArray[numpy.float32], limit: float) -> list[Group]:
    """The groups of copies among rows of norm 1, [n, D]. The surest come first.

    Groups grow by single linkage. Of nested ones that keep their margin, the largest is taken.
    """
    count, asked = len(rows), _NEIGHBOURS
    while True:
        found, distances = _neighbours(rows, min(asked, count - 1))
        if asked >= min(count - 1, _MOST_NEIGHBOURS) or not (distances[:, -1] < _CROWDED).any():
            break
        asked *= 4
    return sorted(_linked(found, distances, limit), key=lambda group: (group.score, group.images))


def _neighbours(rows: NDArray[numpy.float32], k: int) -> tuple[NDArray[numpy.int64], NDArray[numpy.float32]]:
    """The k nearest other rows of each row, and how far they are (1 - cosine), the nearest first: [n, k] each."""
    count = len(rows)
    found, distances = numpy.empty((count, k), numpy.int64), numpy.empty((count, k), numpy.float32)
    step = max(1, _BLOCK_BYTES // (12 * count))
    for start in range(0, count, step):
        stop = min(start + step, count)
        far = 1 - rows[start:stop] @ rows.T
        far[numpy.arange(stop - start), numpy.arange(start, stop)] = numpy.inf
        near = numpy.argpartition(far, k - 1, axis=1)[:, :k]
        values = numpy.take_along_axis(far, near, 1)
        order = numpy.lexsort((near, values))
        found[start:stop] = numpy.take_along_axis(near, order, 1)
        distances[start:stop] = numpy.take_along_axis(values, order, 1)
    return found, numpy.where(distances < _EQUAL, numpy.float32(0), distances)


class _Cluster(NamedTuple):
    """A cluster of single linkage.

    images: the numbers of its rows
    birth: the largest distance that holds it together
    seen: an image outside that is in no list of neighbours is at least so far from it
    groups: the groups that it holds
    """

    images: list[int]
    birth: float
    seen: float
    groups: list[Group]


def _linked(found: NDArray[numpy.int64], distances: NDArray[numpy.float32], limit: float) -> list[Group]:
    """The groups that are held by the lists of neighbours."""
    count, k = found.shape
    firsts, seconds, lengths = numpy.repeat(numpy.arange(count), k), found.ravel(), distances.ravel()
    home = list(range(count))
    # In a list of all others nothing is unseen.
    unseen = numpy.full(count, numpy.inf) if k == count - 1 else distances[:, -1].astype(float)
    clusters = {image: _Cluster([image], 0.0, float(unseen[image]), []) for image in range(count)}

    def root(image: int) -> int:
        while home[image] != image:
            home[image] = home[home[image]]
            image = home[image]
        return image

    for edge in numpy.argsort(lengths, kind="stable").tolist():
        first, second = root(int(firsts[edge])), root(int(seconds[edge]))
        if first == second:
            continue
        length = float(lengths[edge])
        one, two = (_closed(clusters.pop(cluster), length, limit) for cluster in (first, second))
        if len(one.images) < len(two.images):
            first, second, one, two = second, first, two, one
        home[second] = first
        one.images.extend(two.images)
        one.groups.extend(two.groups)
        clusters[first] = _Cluster(one.images, length, min(one.seen, two.seen), one.groups)
    return [group for cluster in clusters.values() for group in _closed(cluster, numpy.inf, limit).groups]


def _closed(cluster: _Cluster, next_distance: float, limit: float) -> _Cluster:
    """The cluster as it is when an image outside is that far away: a group, if it keeps its margin."""
    outside = min(next_distance, cluster.seen)
    if len(cluster.images) < 2:
        return cluster
    if cluster.birth == 0:
        score = 0.0
    elif numpy.isinf(outside):  # it holds all images: there is no margin
        return cluster
    else:
        score = cluster.birth / max(outside, cluster.birth)
    if (cluster.birth == 0 and outside == 0) or score > limit:
        return cluster
    return cluster._replace(groups=[Group(sorted(cluster.images), score)])
