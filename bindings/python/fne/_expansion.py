"""Query expansion: a query takes its nearest images along, and asks again."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

#: How many of the nearest images go along where a search is expanded by default.
NEAREST = 2

#: So many of the nearest rows are ordered anew, or ten times as many as are asked for where that is more.
REACH = 1000


def expanded(
    cosines: NDArray[numpy.float64], nearest: NDArray[Any], of_nearest: NDArray[numpy.float64]
) -> NDArray[numpy.float64]:
    """The cosines to a query plus its nearest rows, each of these times its own cosine to the query.

    All rows have norm 1. Then the new query's cosines follow from the old ones, and no row is needed. A neighbour whose
    cosine is negative has no weight.

    Args:
        cosines: [N], of the query to all rows
        nearest: [K], the numbers of its nearest rows
        of_nearest: [K, N], the cosines of these to all rows

    Returns:
        [N]
    """
    weights = numpy.maximum(cosines[nearest], 0)
    square = 1 + 2 * weights @ cosines[nearest] + weights @ of_nearest[:, nearest] @ weights
    scores: NDArray[numpy.float64] = (cosines + weights @ of_nearest) / numpy.sqrt(square)
    return scores


def expanded_all(cosines: NDArray[numpy.float64], count: int = NEAREST) -> NDArray[numpy.float64]:
    """The expanded cosines of rows to each other, [N, N], where each row asks once, and is not its own neighbour.

    Args:
        cosines: [N, N], of all rows to each other
        count: how many nearest rows a query takes along. With fewer other rows it takes these.
    """
    apart = cosines.copy()
    numpy.fill_diagonal(apart, -numpy.inf)
    nearest = numpy.argsort(-apart, axis=1, kind="stable")[:, : min(count, len(cosines) - 1)]
    found = [expanded(row, near, cosines[near]) for row, near in zip(cosines, nearest, strict=True)]
    return numpy.stack(found)
