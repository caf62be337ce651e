"""A layer's place among the columns of a row, and how the library and JSON files describe it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne.errors import InvalidArgumentError


class Layer(NamedTuple):
    """A layer's place in a row of features.

    name: the layer's tensor, without "import/" and ":0"
    kind: "convolution", "depthwise", "dense", "input" or "other"
    rank: the tensor's. With 2 it is taken as it is, with 4 it is averaged over height and width, and with 3 over
        tokens, unless token_pooling says otherwise.
    features: the layer's columns
    """

    name: str
    kind: str
    rank: int
    features: slice

    @property
    def feature_count(self) -> int:
        """The number of the layer's columns."""
        return int(self.features.stop - self.features.start)


def side_by_side(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with new columns: the first begins at 0, each other one where the one before it ends.

    >>> side_by_side([Layer("a", "dense", 2, slice(10, 14)), Layer("b", "dense", 2, slice(2, 5))])[1].features
    slice(4, 7, None)
    """
    result: list[Layer] = []
    first = 0
    for layer in layers:
        result.append(layer._replace(features=slice(first, first + layer.feature_count)))
        first += layer.feature_count
    return result


def span(layers: Sequence[Layer]) -> slice | None:
    """The columns of all the layers as one slice; None where they do not follow each other without a gap.

    >>> span([Layer("a", "dense", 2, slice(0, 4)), Layer("b", "dense", 2, slice(4, 6))])
    slice(0, 6, None)
    """
    for layer, following in pairwise(layers):
        if layer.features.stop != following.features.start:
            return None
    return slice(layers[0].features.start, layers[-1].features.stop)


def column_numbers(layers: Sequence[Layer]) -> NDArray[numpy.int64]:
    """The numbers of the columns of all the layers, int64 [F]."""
    return numpy.concatenate([numpy.arange(layer.features.start, layer.features.stop) for layer in layers])


#: The shape of a layer in a job's manifest, for `fne._saved.parsed`.
JSON = {"name": str, "kind": str, "rank": int, "first_feature": int, "features": int}


def from_json(described: dict[str, Any]) -> Layer:
    """The layer that a job's manifest describes."""
    first = described["first_feature"]
    return Layer(described["name"], described["kind"], described["rank"], slice(first, first + described["features"]))


def from_library(count: int, ask: Callable[[int, Any], None]) -> list[Layer]:
    """The layers that the library describes.

    Args:
        ask: fills the struct of the layer with a number
    """
    result = []
    for index in range(count):
        info = _ffi.sized(_ffi.LayerInfo)
        ask(index, info)
        columns = slice(info.first_feature, info.first_feature + info.feature_count)
        result.append(Layer(info.name.decode(), _ffi.KINDS[info.kind], info.rank, columns))
    return result


def for_library(layers: Sequence[Layer]) -> Any:
    """The array of structs that the library takes.

    Raises:
        InvalidArgumentError: a layer's kind is none of the library's
    """
    numbers = {name: number for number, name in _ffi.KINDS.items()}
    result = (_ffi.LayerInfo * len(layers))()
    for info, layer in zip(result, layers, strict=True):
        if layer.kind not in numbers:
            raise InvalidArgumentError(f"the layer {layer.name!r} is {layer.kind!r}; kinds are {', '.join(numbers)}")
        first, stop = layer.features.start, layer.features.stop
        if not 0 <= first < stop:
            raise InvalidArgumentError(f"the layer {layer.name!r} has the columns {first} to {stop}")
        info.struct_size, info.name = ctypes.sizeof(info), layer.name.encode()
        info.kind, info.rank = numbers[layer.kind], layer.rank
        info.first_feature, info.feature_count = first, stop - first
    return result
