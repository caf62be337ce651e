"""What an extractor says of the images of a call: which are good, and why others are not."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy
from numpy.typing import NDArray

from fne._ffi import OK


class _Statuses:
    statuses: NDArray[numpy.int32]

    @property
    def ok(self) -> NDArray[numpy.bool_]:
        """Which images are good, bool [N]."""
        return numpy.asarray(self.statuses == OK)


@dataclass
class Outcome(_Statuses):
    """Which images of a call are good.

    Attributes:
        statuses: int32 [N]: 0 where the image is good, else the number of the error in fne.h
        reasons: for each skipped image, by its position, a sentence that says why
    """

    statuses: NDArray[numpy.int32]
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass
class Extraction(_Statuses):
    """What `Extractor.extract` gives.

    Attributes:
        features: float32 [N, F]. The row of a skipped image is NaN. With ten crops [N * 10, F]: the rows of an image
            follow each other.
        statuses: int32 [N]: 0 where the row is good, else the number of the error in fne.h
        reasons: for each skipped image, by its position, a sentence that says why
    """

    features: NDArray[numpy.float32]
    statuses: NDArray[numpy.int32]
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass
class Embedding(_Statuses):
    """What `Extractor.embed` gives.

    Attributes:
        codes: int8 [N, F] of -1, 0, 1. The row of a skipped image is `fne.SKIPPED_CODE` (-128). With ten crops
            [N * 10, F]: the rows of an image follow each other.
        statuses: int32 [N]: 0 where the row is good, else the number of the error in fne.h
        reasons: for each skipped image, by its position, a sentence that says why
    """

    codes: NDArray[numpy.int8]
    statuses: NDArray[numpy.int32]
    reasons: dict[int, str] = field(default_factory=dict)
