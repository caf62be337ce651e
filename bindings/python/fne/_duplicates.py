"""Groups of images that are copies of each other, by the margin to the next image that is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._forest import Edges, spanning_forest
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
#: More edges than this are brought down to the forest that they span.
_MOST_EDGES = 1 << 22
_BLOCK_BYTES = 16 << 20
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
    count, forest = len(rows), _Forest(len(rows))
    for some, found, distances in _neighbours_of_all(rows, min(_NEIGHBOURS, count - 1)):
        forest.add(some, found, distances)
    # A row with many near neighbours may have more copies than were asked for, so it is asked again for more.
    wanted = numpy.flatnonzero(forest.unseen < _CROWDED)
    for start in range(0, len(wanted), _ROWS_AT_ONCE):
        some = wanted[start : start + _ROWS_AT_ONCE]
        forest.add(some, *_neighbours(rows, some, min(_MOST_NEIGHBOURS, count - 1)))
    groups = _linked(forest.spanning(), forest.unseen, limit)
    return sorted(groups, key=lambda group: (group.score, group.images))


class _Forest:
    """The edges from rows to their neighbours, of which only a spanning forest is kept where there are many.

    unseen: how far an image is at least that is in no list of a row's neighbours, [n]
    """

    def __init__(self, count: int) -> None:
        self.unseen = numpy.full(count, numpy.inf)
        self._parts: list[Edges] = []

    def add(self, rows: NDArray[numpy.int64], found: NDArray[numpy.int64], distances: NDArray[numpy.float32]) -> None:
        """Adds the neighbours of some rows, and how far they are: [m, k] each."""
        k, count = found.shape[1], len(self.unseen)
        self._parts.append(Edges(numpy.repeat(rows, k), found.ravel(), distances.ravel()))
        if sum(len(part.lengths) for part in self._parts) > _MOST_EDGES:
            self._parts = [self.spanning()]
        # In a list of all others nothing is unseen.
        self.unseen[rows] = numpy.inf if k == count - 1 else distances[:, -1]

    def spanning(self) -> Edges:
        return spanning_forest(self._parts, len(self.unseen))


def _neighbours_of_all(
    rows: NDArray[numpy.float32], k: int
) -> Iterator[tuple[NDArray[numpy.int64], NDArray[numpy.int64], NDArray[numpy.float32]]]:
    """Some rows, and what `_neighbours` finds for them, until all rows have come.

    The cosine of two rows is computed once for both of them.
    """
    starts = range(0, len(rows), _ROWS_AT_ONCE)
    kept = [_Nearest(len(rows[start : start + _ROWS_AT_ONCE]), k) for start in starts]
    together = max(1, _BLOCK_BYTES // (4 * _ROWS_AT_ONCE**2))
    for number, start in enumerate(starts):
        own = rows[start : start + _ROWS_AT_ONCE]
        for first in range(number, len(starts), together):
            begin = starts[first]
            block = own @ rows[begin : begin + together * _ROWS_AT_ONCE].T
            if first == number:
                numpy.fill_diagonal(block, -numpy.inf)
            kept[number].take(block, begin)
            for other in range(max(first, number + 1), min(first + together, len(starts))):
                column = starts[other] - begin
                kept[other].take(block[:, column : column + _ROWS_AT_ONCE].T, start)
        yield numpy.arange(start, start + len(own)), *_found(kept[number])
        kept[number] = _Nearest(0, k)  # its memory is free


def _neighbours(
    rows: NDArray[numpy.float32], chosen: NDArray[numpy.int64], k: int
) -> tuple[NDArray[numpy.int64], NDArray[numpy.float32]]:
    """The k nearest other rows of each chosen row, and how far they are (1 - cosine), the nearest first: [m, k] each.

    The chosen rows are compared with a block of all rows at a time.
    """
    own, kept = rows[chosen], _Nearest(len(chosen), k)
    step = max(k + 1, _BLOCK_BYTES // (4 * len(chosen)))
    for start in range(0, len(rows), step):
        block = own @ rows[start : start + step].T
        inside = numpy.flatnonzero((chosen >= start) & (chosen < start + step))
        block[inside, chosen[inside] - start] = -numpy.inf
        kept.take(block, start)
    return _found(kept)


def _found(kept: _Nearest) -> tuple[NDArray[numpy.int64], NDArray[numpy.float32]]:
    """The neighbours that were kept, and how far they are, as from `_neighbours`."""
    found, cosines = kept.sorted()
    distances = 1 - cosines
    return found, numpy.where(distances < _EQUAL, numpy.float32(0), distances)


class _Nearest:
    """The k largest cosines of m rows, of blocks that come one after the other."""

    def __init__(self, m: int, k: int) -> None:
        self._m, self._k = m, k
        self._floor: NDArray[numpy.float32] | None = None
        self._takers: list[NDArray[numpy.int64]] = []
        self._others: list[NDArray[numpy.int64]] = []
        self._cosines: list[NDArray[numpy.float32]] = []
        self._pending = 0

    def take(self, block: NDArray[numpy.float32], start: int) -> None:
        """Takes the cosines of a block, whose first column is that of the row with the number start."""
        if self._floor is not None:
            taken = block > self._floor
        elif block.shape[1] > self._k:
            self._floor = self._first_floor(block)
            self._pending -= self._m * self._k  # so many of these are kept anyway
            taken = block >= self._floor
        else:
            taken = block > -numpy.inf  # all but the row itself
        if taken.flags.c_contiguous:
            takers, columns = numpy.divmod(numpy.flatnonzero(taken), block.shape[1])
        else:  # a transposed block is read as it lies in memory
            columns, takers = numpy.divmod(numpy.flatnonzero(taken.T), self._m)
        self._pending += len(takers)
        self._takers.append(takers)
        self._others.append(columns + start)
        self._cosines.append(block[takers, columns])
        # A sort for each block would take longer than the products.
        if self._pending > self._m * self._k:
            self._floor = self.sorted()[1][:, -1:]

    def _first_floor(self, block: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """A cosine that k columns reach, of each row: [m, 1]. The largest ones of four times as many groups of columns
        are compared, which takes a small part of the time of all columns."""
        width = block.shape[1] // (4 * self._k)
        width = width if width >= 16 else 1  # small groups would save nothing
        groups = block.shape[1] // width
        largest = block[:, : groups * width].reshape(self._m, groups, width).max(2)
        return numpy.partition(largest, -self._k, axis=1)[:, -self._k, None]

    def sorted(self) -> tuple[NDArray[numpy.int64], NDArray[numpy.float32]]:
        """The rows with the k largest cosines so far, the largest first, and these: [m, k] each."""
        takers, others = numpy.concatenate(self._takers), numpy.concatenate(self._others)
        cosines = numpy.concatenate(self._cosines)
        order = numpy.lexsort((others, -cosines, takers))
        place = numpy.arange(len(order)) - numpy.searchsorted(takers[order], numpy.arange(self._m))[takers[order]]
        nearest = order[place < self._k]
        self._takers, self._others, self._cosines = [takers[nearest]], [others[nearest]], [cosines[nearest]]
        self._pending = 0
        return others[nearest].reshape(self._m, self._k), cosines[nearest].reshape(self._m, self._k)


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


def _linked(forest: Edges, unseen: NDArray[numpy.float64], limit: float) -> list[Group]:
    """The groups that are held by the edges of a spanning forest, the shortest first.

    unseen: how far an image is at least that is in no list of a row's neighbours, [n]
    """
    home = list(range(len(unseen)))
    clusters = {image: _Cluster([image], 0.0, seen, []) for image, seen in enumerate(unseen.tolist())}

    def root(image: int) -> int:
        while home[image] != image:
            home[image] = home[home[image]]
            image = home[image]
        return image

    for one_end, other_end, length in zip(*(array.tolist() for array in forest), strict=True):
        first, second = root(one_end), root(other_end)
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
