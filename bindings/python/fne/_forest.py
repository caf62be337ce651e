"""The edges of a graph that hold it together at the least length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray


class Edges(NamedTuple):
    """Edges between numbered points: int64 [m], int64 [m], and their lengths, float32 [m]."""

    firsts: NDArray[numpy.int64]
    seconds: NDArray[numpy.int64]
    lengths: NDArray[numpy.float32]


def spanning_forest(parts: Sequence[Edges], count: int) -> Edges:
    """The edges of the minimum spanning forest, the shortest first.

    Single linkage needs no other edges. In each round all trees take their shortest edges at once (Borůvka's
    algorithm), so that there are few rounds and no loop over edges.

    Args:
        parts: the edges, at least one part; an edge may be there twice
        count: the number of points
    """
    firsts, seconds, lengths = (numpy.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = numpy.argsort(lengths, kind="stable")
    firsts, seconds, lengths = firsts[order], seconds[order], lengths[order]
    tree, kept, left = numpy.arange(count), numpy.zeros(len(order), bool), numpy.arange(len(order))
    while True:
        ones, others = tree[firsts[left]], tree[seconds[left]]
        is_between = ones != others
        left, ones, others = left[is_between], ones[is_between], others[is_between]
        if not len(left):
            return Edges(firsts[kept], seconds[kept], lengths[kept])
        chosen = numpy.minimum(_first_of_each(ones, left, count), _first_of_each(others, left, count))
        trees = numpy.flatnonzero(chosen <= left[-1])
        edges = chosen[trees]
        kept[edges] = True
        tree = _joined(trees, tree[firsts[edges]] + tree[seconds[edges]] - trees, count)[tree]


def _first_of_each(trees: NDArray[numpy.int64], edges: NDArray[numpy.int64], count: int) -> NDArray[numpy.int64]:
    """The first edge of each tree, of edges in ascending order. A tree without one has a number above all."""
    result = numpy.full(count, numpy.iinfo(numpy.int64).max)
    result[trees[::-1]] = edges[::-1]  # of several values for one place, the last stays
    return result


def _joined(trees: NDArray[numpy.int64], others: NDArray[numpy.int64], count: int) -> NDArray[numpy.int64]:
    """The tree that each tree is part of, when each of some joins another."""
    result = numpy.arange(count)
    result[trees] = others
    # Two trees that chose the same edge point at each other. The smaller number is the root.
    is_root = (result[result] == numpy.arange(count)) & (numpy.arange(count) < result)
    result[is_root] = numpy.flatnonzero(is_root)
    while True:
        further = result[result]
        if numpy.array_equal(further, result):
            return result
        result = further
