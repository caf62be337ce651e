"""Rows without what they have in common, over their L2 norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

#: With fewer rows than this their mean is not subtracted: the mean of a handful says more of them than of the others.
FEWEST_ROWS = 10


def mean_row(rows: NDArray[Any]) -> NDArray[numpy.float64]:
    """The mean of rows [N, F], float64 [F]."""
    mean: NDArray[numpy.float64] = rows.mean(0, dtype=numpy.float64)
    return mean


def centred_l2(rows: NDArray[Any], mean: NDArray[numpy.float64] | None) -> NDArray[Any]:
    """Subtracts a mean of each row, and divides the row by its L2 norm.

    A row that is the mean itself becomes zero.

    Args:
        rows: [N, F]
        mean: float64 [F]; None: nothing is subtracted

    Returns:
        float64 [N, F] for rows of float64, else float32
    """
    wide = rows.astype(numpy.float64)
    if mean is not None:
        wide -= mean
    # Rows are brought to a largest value of 1 first, so that no square overflows or vanishes.
    _divide(wide, numpy.abs(wide).max(1, initial=0.0))
    _divide(wide, numpy.sqrt(numpy.einsum("ij,ij->i", wide, wide)))
    return wide if rows.dtype == numpy.float64 else wide.astype(numpy.float32)


def _divide(rows: NDArray[numpy.float64], by: NDArray[numpy.float64]) -> None:
    """Divides each row, in its place, by a number of its own; by 0 it stays."""
    rows /= numpy.where(by > 0, by, 1.0)[:, None]


def side_by_side_l2(blocks: Sequence[NDArray[Any]], means: Sequence[NDArray[numpy.float64] | None]) -> NDArray[Any]:
    """Blocks of columns, each centred and over its own norm, side by side. So each weighs the same.

    Args:
        blocks: [N, F] each
        means: of each block its mean; None: it is not centred
    """
    return numpy.concatenate([centred_l2(block, mean) for block, mean in zip(blocks, means, strict=True)], 1)
