"""Paired differences: what a representation gains on the same splits or queries as another, and how sure that is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy
from numpy.typing import ArrayLike

#: The share of intervals that hold the true mean difference.
_CONFIDENCE = 0.95


class Difference(NamedTuple):
    """The mean of paired differences.

    mean: float
    error: its standard error, the sample deviation of the differences over the square root of their number; None with
        one pair
    verdict: "ahead" or "behind" where Student's interval of 95 % around the mean does not hold 0, else "level"; None
        with one pair
    """

    mean: float
    error: float | None
    verdict: str | None


def difference(values: ArrayLike, others: ArrayLike) -> Difference:
    """The mean of values - others, which are measured on the same splits or queries, in the same order.

    Equal differences without any spread are "level" only if they are 0.
    """
    from scipy.special import stdtrit

    gaps = numpy.asarray(values, numpy.float64) - numpy.asarray(others, numpy.float64)
    mean = float(gaps.mean())
    if len(gaps) < 2:
        return Difference(mean, None, None)
    error = float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
    width = float(stdtrit(len(gaps) - 1, (1 + _CONFIDENCE) / 2)) * error
    verdict = "ahead" if mean > width else "behind" if mean < -width else "level"
    return Difference(mean, error, verdict)


def described(found: Difference) -> str:
    """A difference as text, with "+" or "-" where it is ahead or behind."""
    if found.error is None:
        return f"{found.mean:+.3f}"
    return f"{found.mean:+.3f} ± {found.error:.3f} {_MARKS[found.verdict or 'level']}"


_MARKS = {"ahead": "+", "behind": "-", "level": "="}
