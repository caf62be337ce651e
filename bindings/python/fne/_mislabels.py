"""Images whose neighbours agree on another class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne._duplicates import Group

#: The neighbours that vote, and the score from which a label is doubtful.
NEIGHBOURS, LIMIT = 10, 0.3

_ROWS_AT_ONCE = 4096


class Doubt(NamedTuple):
    """A label that looks wrong.

    image: the number of the image
    label, other: its class, and the one that its neighbours agree on
    score: the neighbours' weight for the other class less that for its own, as a share of all weight, up to 1
    """

    image: int
    label: str
    other: str
    score: float


def mislabels(
    codes: PackedCodes,
    labels: Sequence[str],
    groups: Iterable[Group],
    metric: str,
    limit: float = LIMIT,
) -> list[Doubt]:
    """The labels that look wrong, the worst first.

    The ten nearest images with a label vote, each with its cosine as its weight. The copies of an image have no vote,
    since they are often wrong together.

    Args:
        codes: those of the images, n
        labels: their classes, n; "" where there is none
        groups: groups of copies, by the images' places in codes
        metric: "cosine" or "centred"
        limit: the smallest score that is listed
    """
    group = numpy.full(len(codes), -1)
    for number, copies in enumerate(groups):
        group[copies.images] = number
    known = numpy.flatnonzero([label != "" for label in labels])
    classes, numbers = numpy.unique([labels[int(image)] for image in known], return_inverse=True)
    if len(classes) < 2:
        return []
    base, own = codes[known], group[known]
    largest = int(numpy.bincount(own[own >= 0]).max(initial=1))
    doubts = []
    for start in range(0, len(known), _ROWS_AT_ONCE):
        part = base[start : start + _ROWS_AT_ONCE]
        found, cosines = base.search(part, min(NEIGHBOURS + largest, len(base)), metric=metric)
        for place, (others, weights) in enumerate(zip(found, cosines, strict=True), start):
            votes = _votes(place, others, weights, numbers, own, len(classes))
            label = int(numbers[place])
            best = int(numpy.where(numpy.arange(len(classes)) == label, -1, votes).argmax())
            score = float(votes[best] - votes[label])
            if score >= limit:
                doubts.append(Doubt(int(known[place]), str(classes[label]), str(classes[best]), score))
    return sorted(doubts, key=lambda doubt: (-doubt.score, doubt.image))


def _votes(
    place: int,
    others: NDArray[numpy.int64],
    weights: NDArray[numpy.float64],
    labels: NDArray[numpy.int64],
    groups: NDArray[numpy.int64],
    count: int,
) -> NDArray[numpy.float64]:
    """The share of the weight that each class has among an image's neighbours."""
    is_voter = (others != place) & ((groups[others] < 0) | (groups[others] != groups[place]))
    voters, weights = others[is_voter][:NEIGHBOURS], numpy.maximum(weights[is_voter][:NEIGHBOURS], 0)
    votes: NDArray[numpy.float64] = numpy.bincount(labels[voters], weights, count).astype(numpy.float64)
    total = votes.sum()
    return votes / total if total > 0 else votes
