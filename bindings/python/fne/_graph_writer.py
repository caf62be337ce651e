"""Writes a TensorFlow GraphDef (tensorflow/core/framework/graph.proto) without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

_FLOAT, _INT32 = 1, 3


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _shape(shape: Sequence[int]) -> bytes:
    return b"".join(_bytes(2, _number(1, size)) for size in shape)


class GraphWriter:
    """Collects nodes. Every method that adds one returns the name of its tensor."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []

    def serialized(self) -> bytes:
        versions = _bytes(4, _number(1, 1087))  # producer: a version that all of TensorFlow 2 reads
        return b"".join(self._nodes) + versions

    def _add(self, name: str, operation: str, inputs: Sequence[str], attributes: dict[str, bytes]) -> str:
        node = _bytes(1, name) + _bytes(2, operation) + b"".join(_bytes(3, source) for source in inputs)
        for key, value in sorted(attributes.items()):
            node += _bytes(5, _bytes(1, key) + _bytes(2, value))
        self._nodes.append(_bytes(1, node))
        return name

    def placeholder(self, name: str, shape: Sequence[int]) -> str:
        return self._add(name, "Placeholder", [], {"dtype": _number(6, _FLOAT), "shape": _bytes(7, _shape(shape))})

    def constant(self, name: str, value: NDArray[numpy.float32] | NDArray[numpy.int32]) -> str:
        kind = _INT32 if value.dtype == numpy.int32 else _FLOAT
        data = numpy.ascontiguousarray(value, "<i4" if kind == _INT32 else "<f4").tobytes()
        tensor = _number(1, kind) + _bytes(2, _shape(value.shape)) + _bytes(4, data)
        return self._add(name, "Const", [], {"dtype": _number(6, kind), "value": _bytes(8, tensor)})

    def float_operation(self, name: str, operation: str, *inputs: str) -> str:
        """Adds an operation whose only attribute is its type."""
        return self._add(name, operation, inputs, {"T": _number(6, _FLOAT)})

    def mean(self, name: str, source: str, axes: Sequence[int]) -> str:
        indices = self.constant(name + "/reduction_indices", numpy.array(axes, numpy.int32))
        types = {"T": _number(6, _FLOAT), "Tidx": _number(6, _INT32)}
        return self._add(name, "Mean", [source, indices], types)

    def convolution(self, name: str, source: str, weights: NDArray[numpy.float32], stride: int, depthwise: bool) -> str:
        """Adds a convolution with 'SAME' padding.

        Its weights are [height, width, in, out], those of a depthwise one [height, width, in, 1].
        """
        kernel = self.constant(name + "/weights", weights)
        attributes = {
            "T": _number(6, _FLOAT),
            "strides": _bytes(1, b"".join(_number(3, size) for size in (1, stride, stride, 1))),
            "padding": _bytes(2, "SAME"),
            "data_format": _bytes(2, "NHWC"),
        }
        operation = "DepthwiseConv2dNative" if depthwise else "Conv2D"
        return self._add(name + "/" + operation, operation, [source, kernel], attributes)
