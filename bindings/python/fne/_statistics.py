"""Exact statistics of features."""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import Any

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._arguments import as_array
from fne._ffi import check, lib
from fne.errors import InvalidArgumentError


class Statistics:
    """The count, mean and standard deviation of F features.

    The sums are exact. So the result has the same bits for any order of the rows, any batches, any merges and any
    machine. One thread at a time may use an object. Objects can be pickled.

    Args:
        feature_count: F

    >>> first, second = Statistics(2), Statistics(2)
    >>> rows = numpy.float32([[1, 1e8], [2, 1e8], [6, 1e8]])
    >>> statistics = first.update(rows[:1]).merge(second.update(rows[1:]))
    >>> statistics.count, statistics.mean(), statistics.std()
    (3, array([3.e+00, 1.e+08]), array([2.1602469, 0.       ]))
    """

    def __init__(self, feature_count: int) -> None:
        if not 1 <= feature_count < 2**31:
            raise InvalidArgumentError(f"feature_count is {feature_count}; it must be 1 to 2**31 - 1")
        self._handle = _ffi.open_handle(lib.fne_statistics_open, lib.fne_statistics_close, feature_count)

    def update(self, rows: NDArray[Any]) -> Statistics:
        """Adds rows.

        Args:
            rows: float32 [n, F]; float64 is taken too where float32 can hold every value

        Raises:
            NotFiniteError: rows hold NaN or infinity; the message names its row and feature, and no row is added
            ShapeMismatchError: rows have another number of features
            ValueError: rows have another type or rank
        """
        rows = _as_float32(rows)
        check(lib.fne_statistics_update(self._handle(), rows.ctypes.data, rows.shape[0], rows.shape[1]))
        return self

    def merge(self, other: Statistics) -> Statistics:
        """Adds the rows that another object has seen."""
        check(lib.fne_statistics_merge(self._handle(), other._handle()))
        return self

    @property
    def count(self) -> int:
        """The number of rows seen."""
        return self._counts()[0]

    @property
    def feature_count(self) -> int:
        """F, the number of features."""
        return self._counts()[1]

    def _counts(self) -> tuple[int, int]:
        rows, features = ctypes.c_uint64(), ctypes.c_uint64()
        check(lib.fne_statistics_count(self._handle(), ctypes.byref(rows), ctypes.byref(features)))
        return rows.value, features.value

    def mean(self) -> NDArray[numpy.float64]:
        """The means, float64 [F]. Each is rounded once, from the exact value."""
        mean = numpy.empty(self.feature_count)
        check(lib.fne_statistics_moments(self._handle(), mean.ctypes.data, None, mean.size, 0))
        return mean

    def std(self, ddof: int = 0) -> NDArray[numpy.float64]:
        """The standard deviations, float64 [F]. Each is rounded once, from the exact value; a constant feature's is 0.

        Args:
            ddof: 0 gives the population's deviation, 1 the sample's
        """
        if not 0 <= ddof < 2**32:
            raise InvalidArgumentError(f"ddof is {ddof}; it must be 0 or more")
        std = numpy.empty(self.feature_count)
        check(lib.fne_statistics_moments(self._handle(), None, std.ctypes.data, std.size, ddof))
        return std

    def to_bytes(self) -> bytes:
        """The object as bytes, with a version and a checksum that `from_bytes` checks."""
        size = _ffi.count(lib.fne_statistics_size, self._handle)
        data = numpy.empty(size, numpy.uint8)
        check(lib.fne_statistics_save(self._handle(), data.ctypes.data, size))
        return data.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Statistics:
        """The object that `to_bytes` made bytes of."""
        result = cls.__new__(cls)
        result._handle = _ffi.open_handle(lib.fne_statistics_load, lib.fne_statistics_close, data, len(data))
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return (Statistics.from_bytes, (self.to_bytes(),))

    def close(self) -> None:
        """Frees the object."""
        self._handle.close()

    def __enter__(self) -> Statistics:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _as_float32(rows: NDArray[Any]) -> NDArray[numpy.float32]:
    rows = as_array("rows", rows)
    if rows.ndim != 2:
        raise InvalidArgumentError(f"rows have shape {rows.shape}; they must be [n, features]")
    if rows.dtype == numpy.float64:
        with numpy.errstate(over="ignore"):  # the comparison below finds an overflow
            narrow = rows.astype(numpy.float32)
        if not numpy.array_equal(narrow, rows, equal_nan=True):
            raise InvalidArgumentError(
                "rows are float64 and hold values that float32 cannot hold; pass the float32 features"
            )
        rows = narrow
    if rows.dtype != numpy.float32:
        raise InvalidArgumentError(f"rows are {rows.dtype}; they must be float32")
    return numpy.ascontiguousarray(rows)
