"""The arithmetic of the tables of reproduce.py: means over pairs of a network and a data set, and paired differences.

A pair has a list of numbers for each row of a table and each column: the accuracies of the splits, or the average
precisions of the queries. They stand in the same order in all rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fne._evaluation.differences import difference

#: Of a pair, the numbers by row and column.
Values = Mapping[str, Mapping[str, Sequence[float]]]


class Mean(NamedTuple):
    """A mean over pairs.

    mean: float
    spread: the sample deviation of this mean from split to split; 0 with one split
    pairs: of how many pairs it is the mean
    """

    mean: float
    spread: float
    pairs: int


class Gain(NamedTuple):
    """What a row gains against another one, over pairs.

    mean: of the pairs' mean differences
    error: its standard error over the pairs; None with one pair
    ahead, level, behind: how many pairs are so, each by Student's interval of 95 % over its splits or queries
    """

    mean: float
    error: float | None
    ahead: int
    level: int
    behind: int


def mean_of_splits(pairs: Sequence[Values], row: str, column: str) -> Mean | None:
    """The mean over the pairs that have the row. All have the same splits; None: no pair has it."""
    found = [pair[row][column] for pair in pairs if column in pair.get(row, {})]
    if not found:
        return None
    by_split = np.array(found, dtype=float).mean(0)
    spread = float(by_split.std(ddof=1)) if len(by_split) > 1 else 0.0
    return Mean(float(by_split.mean()), spread, len(found))


def mean_of_queries(pairs: Sequence[Values], row: str, column: str) -> Mean | None:
    """The mean over the pairs that have the row, where each pair has queries of its own; None: no pair has it.

    The spread is the standard error that follows from the queries.
    """
    found = [np.asarray(pair[row][column], float) for pair in pairs if column in pair.get(row, {})]
    if not found:
        return None
    errors = [values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0 for values in found]
    mean = float(np.mean([values.mean() for values in found]))
    return Mean(mean, math.sqrt(sum(error**2 for error in errors)) / len(found), len(found))


def gain(pairs: Sequence[Values], row: str, reference: str, column: str) -> Gain | None:
    """What a row gains against another one, over the pairs that have both; None: no pair has both."""
    both = [pair for pair in pairs if column in pair.get(row, {}) and column in pair.get(reference, {})]
    if not both:
        return None
    single = [difference(pair[row][column], pair[reference][column]) for pair in both]
    means = np.array([found.mean for found in single])
    verdicts = [found.verdict for found in single]
    return Gain(
        float(means.mean()),
        float(means.std(ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else None,
        *(verdicts.count(name) for name in ("ahead", "level", "behind")),
    )


def mean_text(found: Mean | None) -> str:
    return "" if found is None else f"{found.mean:.3f} ± {found.spread:.3f}"


def gain_text(found: Gain | None) -> str:
    """A gain as the tables have it: the mean, its error, and the pairs ahead, level and behind."""
    if found is None:
        return ""
    error = "" if found.error is None else f" ± {found.error:.3f}"
    return f"{found.mean:+.3f}{error} ({found.ahead}, {found.level}, {found.behind})"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
