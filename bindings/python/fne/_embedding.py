"""Standardization and discretization of features."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._arguments import as_array, choice
from fne._ffi import check, lib
from fne._thresholds import LOWER, UPPER
from fne.errors import InvalidArgumentError, ShapeMismatchError

#: The code of an image that could not be embedded.
SKIPPED_CODE = -128

_RULES = {"documented": 0, "torch": 1}


class Discretization:
    """Statistics, thresholds and rules: checked, and as the library takes them."""

    def __init__(
        self, mean: Any, std: Any, lower: float = LOWER, upper: float = UPPER, rules: str = "documented"
    ) -> None:
        self.mean = _vector("mean", mean)
        self.std = _vector("std", std)
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ShapeMismatchError(
                f"mean and std have shapes {self.mean.shape} and {self.std.shape}; both must be [F]"
            )
        self.options = _ffi.defaults(_ffi.TernarizeOptions, lib.fne_ternarize_options_init)
        self.options.lower, self.options.upper = lower, upper
        self.options.rules = choice("rules", rules, _RULES)


def standardize(features: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]) -> NDArray[numpy.float64]:
    """Standardizes: z = (x - mean) / std in float64, and 0 where std is 0.

    Args:
        features: float32 [N, F]
        mean, std: [F]

    Returns:
        float64 [N, F]

    >>> standardize(numpy.float32([[1, 7], [3, 7]]), [2, 7], [0.5, 0])
    array([[-2.,  0.],
           [ 2.,  0.]])
    """
    features, mean, std = _checked(features, mean, std)
    z = numpy.empty(features.shape)
    check(
        lib.fne_standardize(
            features.ctypes.data, *features.shape, mean.ctypes.data, std.ctypes.data, z.ctypes.data, z.size
        )
    )
    return z


def ternarize(
    features: NDArray[Any],
    mean: NDArray[Any],
    std: NDArray[Any],
    *,
    lower: float = LOWER,
    upper: float = UPPER,
    rules: str = "documented",
    out: NDArray[numpy.int8] | None = None,
) -> NDArray[numpy.int8]:
    """Standardizes and discretizes to -1, 0, 1.

    Args:
        features: float32 [N, F]
        mean, std: [F]
        lower, upper: the thresholds on the standardized value z; by default those of the paper, -0.25 and 0.15
        rules: "documented" computes z in float64; above `upper` is 1, below `lower` is -1, and a std of 0 gives 0.
            "torch" are the rules of fne 1.x: z is in float32, a z equal to `lower` is -1, and the NaN that a std of 0
            gives is 1.
        out: int8 [N, F], C-contiguous, that receives the codes; None: a new array

    Returns:
        int8 [N, F]

    Raises:
        NotFiniteError: features hold a NaN; the message names its row and feature

    >>> ternarize(numpy.float32([[1, 7], [2.05, 7], [3, 7]]), [2, 7], [0.5, 0])
    array([[-1,  0],
           [ 0,  0],
           [ 1,  0]], dtype=int8)
    """
    features, mean, std = _checked(features, mean, std)
    discretization = Discretization(mean, std, lower, upper, rules)
    codes: NDArray[numpy.int8] = _ffi.output(out, features.shape, numpy.int8)
    check(
        lib.fne_ternarize(
            features.ctypes.data,
            *features.shape,
            mean.ctypes.data,
            std.ctypes.data,
            ctypes.byref(discretization.options),
            codes.ctypes.data,
            codes.size,
        )
    )
    return codes


def l2_normalize(features: NDArray[Any], *, out: NDArray[numpy.float32] | None = None) -> NDArray[numpy.float32]:
    """Divides each row by its Euclidean norm, which is computed in float64 and taken as at least 1e-12.

    Args:
        features: float32 [N, F]
        out: float32 [N, F], C-contiguous, that receives the rows; it may be features; None: a new array

    Raises:
        NotFiniteError: features hold NaN or infinity; the message names its row and feature

    >>> l2_normalize(numpy.float32([[3, 4], [0, 2]]))
    array([[0.6, 0.8],
           [0. , 1. ]], dtype=float32)
    """
    features = _matrix(features)
    result: NDArray[numpy.float32] = _ffi.output(out, features.shape, numpy.float32)
    check(lib.fne_l2_normalize(features.ctypes.data, *features.shape, result.ctypes.data, result.size))
    return result


def _matrix(features: NDArray[Any]) -> NDArray[numpy.float32]:
    features = as_array("features", features)
    if features.ndim != 2 or features.dtype != numpy.float32:
        raise InvalidArgumentError(f"features are {features.dtype} {features.shape}; they must be float32 [N, F]")
    return numpy.ascontiguousarray(features)


def _vector(name: str, values: Any) -> NDArray[numpy.float64]:
    return numpy.ascontiguousarray(as_array(name, values, numpy.float64))


def _checked(
    features: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]
) -> tuple[NDArray[numpy.float32], NDArray[numpy.float64], NDArray[numpy.float64]]:
    features = _matrix(features)
    mean, std = _vector("mean", mean), _vector("std", std)
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != features.shape[1:]:
            raise ShapeMismatchError(f"{name} has shape {values.shape}; the features need {features.shape[1:]}")
    return features, mean, std
