"""Statistics of parts of a data set, and how they come together."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy
import pyarrow
from numpy.typing import NDArray

from fne import _ffi
from fne._codes import PackedCodes
from fne._embedding import SKIPPED_CODE, standardize, ternarize
from fne._ffi import OK
from fne._statistics import Statistics
from fne.errors import FewImagesWarning, InvalidArgumentError, JobMismatchError


class Part(NamedTuple):
    """What statistics need of some images.

    saved: the saved statistics of the good images' rows; None: there are none
    engines: the engines that computed the rows, each once
    good, bad: the numbers of images
    reason: why a bad image is bad
    """

    saved: bytes | None
    engines: list[str]
    good: int
    bad: int
    reason: str


NOTHING = Part(None, [], 0, 0, "")


def part_of(rows: NDArray[Any], statuses: NDArray[Any], reasons: list[Any], engines: list[Any]) -> Part:
    """A part of features, float32 [n, F] or [n, rows per image, F], and their columns."""
    good = numpy.asarray(statuses) == OK
    if not len(good):
        return NOTHING
    kept = numpy.ascontiguousarray(rows[good], numpy.float32).reshape(-1, rows.shape[-1])
    saved = Statistics(rows.shape[-1]).update(kept).to_bytes() if good.any() else None
    bad = [reason for reason, is_good in zip(reasons, good, strict=True) if not is_good]
    reason = Counter(bad).most_common(1)[0][0] if bad else ""
    return Part(saved, sorted(set(engines)), int(good.sum()), len(bad), reason or "")


def merged(parts: Iterable[Part]) -> Part:
    """Parts as one. The bytes do not depend on their order or grouping."""
    statistics: Statistics | None = None
    result = NOTHING
    for part in parts:
        if part.saved is not None:
            other = Statistics.from_bytes(bytes(part.saved))
            statistics = other if statistics is None else statistics.merge(other)
        result = Part(
            None,
            sorted({*result.engines, *part.engines}),
            result.good + part.good,
            result.bad + part.bad,
            result.reason or part.reason,
        )
    return result if statistics is None else result._replace(saved=statistics.to_bytes())


#: A part as a row of a table.
SCHEMA = pyarrow.schema(
    [
        pyarrow.field("saved", pyarrow.binary()),
        pyarrow.field("engines", pyarrow.list_(pyarrow.string())),
        pyarrow.field("good", pyarrow.int64()),
        pyarrow.field("bad", pyarrow.int64()),
        pyarrow.field("reason", pyarrow.string()),
    ]
)


def table_of(part: Part) -> Any:
    """A table of one row."""
    return pyarrow.Table.from_pylist([part._asdict()], SCHEMA)


def parts_of(table: Any) -> Iterator[Part]:
    """The parts of such a table's rows."""
    return (Part(**row) for row in table.to_pylist())


def statistics_of(parts: Iterable[Part], accept_other_engine: bool) -> Statistics:
    """The statistics of all parts.

    Raises:
        InvalidArgumentError: there are no good images
        JobMismatchError: different engines computed the rows, and that is not accepted

    Warns:
        FewImagesWarning: there are few images
    """
    whole = merged(parts)
    if whole.saved is None:
        found = f": all {whole.bad} are bad, such as for this reason: {whole.reason}" if whole.bad else ""
        raise InvalidArgumentError(f"there are no rows to compute statistics of{found}")
    if len(whole.engines) > 1 and not accept_other_engine:
        listing = "\n".join(f"  {engine}" for engine in whole.engines)
        raise JobMismatchError(
            "workers that differ computed the rows, so their last bits may differ. Give all workers the same software, "
            f"or pass accept_other_engine=True. What they run with:\n{listing}"
        )
    if whole.good < _ffi.FEW_IMAGES:
        warnings.warn(FewImagesWarning(whole.good), stacklevel=3)
    return Statistics.from_bytes(whole.saved)


def check_fraction(fraction: float) -> None:
    """Refuses what is no share of the images."""
    if not 0 < fraction <= 1:
        raise InvalidArgumentError(f"fraction is {fraction}; it must be above 0 and at most 1")


class Coder:
    """Makes codes with the means and deviations of statistics. It can be pickled."""

    def __init__(self, statistics: Statistics, lower: float, upper: float) -> None:
        self.mean, self.std = statistics.mean(), statistics.std()
        self.lower, self.upper = lower, upper

    def __call__(self, rows: NDArray[Any], statuses: NDArray[Any]) -> NDArray[numpy.int8]:
        """The codes, int8 of the rows' shape. They are -128 where an image failed."""
        good = numpy.asarray(statuses) == OK
        codes = numpy.full(rows.shape, SKIPPED_CODE, numpy.int8)
        if good.any():
            kept = numpy.ascontiguousarray(rows[good], numpy.float32).reshape(-1, rows.shape[-1])
            codes[good] = self.of(kept).reshape(-1, *rows.shape[1:])
        return codes

    def packed(self, rows: NDArray[Any], statuses: NDArray[Any]) -> NDArray[numpy.uint64]:
        """The codes packed, uint64 [n * rows per image, 2, words]. They are 0 where an image failed."""
        codes = self(rows, statuses)
        return PackedCodes.pack(codes.reshape(-1, codes.shape[-1])).words

    def of(self, rows: NDArray[numpy.float32]) -> NDArray[numpy.int8]:
        """The codes of good rows, [n, F]."""
        return ternarize(rows, self.mean, self.std, lower=self.lower, upper=self.upper)

    def standardized(self, rows: NDArray[numpy.float32]) -> NDArray[numpy.float64]:
        """Good rows, [n, F], as `fne.standardize` makes them."""
        return standardize(rows, self.mean, self.std)
