"""Writes a TensorFlow GraphDef (tensorflow/core/framework/graph.proto) without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from fne._protobuf import block, number

_FLOAT, _INT32 = 1, 3


def _shape(shape: Sequence[int]) -> bytes:
    return b"".join(block(2, number(1, size)) for size in shape)


class GraphWriter:
    """Collects nodes. Every method that adds one returns the name of its tensor."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []

    def serialized(self) -> bytes:
        versions = block(4, number(1, 1087))  # producer: a version that all of TensorFlow 2 reads
        return b"".join(self._nodes) + versions

    def _add(self, name: str, operation: str, inputs: Sequence[str], attributes: dict[str, bytes]) -> str:
        node = block(1, name) + block(2, operation) + b"".join(block(3, source) for source in inputs)
        for key, value in sorted(attributes.items()):
            node += block(5, block(1, key) + block(2, value))
        self._nodes.append(block(1, node))
        return name

    def placeholder(self, name: str, shape: Sequence[int]) -> str:
        return self._add(name, "Placeholder", [], {"dtype": number(6, _FLOAT), "shape": block(7, _shape(shape))})

    def constant(self, name: str, value: NDArray[numpy.float32] | NDArray[numpy.int32]) -> str:
        kind = _INT32 if value.dtype == numpy.int32 else _FLOAT
        data = numpy.ascontiguousarray(value, "<i4" if kind == _INT32 else "<f4").tobytes()
        tensor = number(1, kind) + block(2, _shape(value.shape)) + block(4, data)
        return self._add(name, "Const", [], {"dtype": number(6, kind), "value": block(8, tensor)})

    def float_operation(self, name: str, operation: str, *inputs: str) -> str:
        """Adds an operation whose only attribute is its type."""
        return self._add(name, operation, inputs, {"T": number(6, _FLOAT)})

    def mean(self, name: str, source: str, axes: Sequence[int]) -> str:
        indices = self.constant(name + "/reduction_indices", numpy.array(axes, numpy.int32))
        types = {"T": number(6, _FLOAT), "Tidx": number(6, _INT32)}
        return self._add(name, "Mean", [source, indices], types)

    def convolution(self, name: str, source: str, weights: NDArray[numpy.float32], stride: int, depthwise: bool) -> str:
        """Adds a convolution with 'SAME' padding.

        Its weights are [height, width, in, out], those of a depthwise one [height, width, in, 1].
        """
        kernel = self.constant(name + "/weights", weights)
        attributes = {
            "T": number(6, _FLOAT),
            "strides": block(1, b"".join(number(3, size) for size in (1, stride, stride, 1))),
            "padding": block(2, "SAME"),
            "data_format": block(2, "NHWC"),
        }
        operation = "DepthwiseConv2dNative" if depthwise else "Conv2D"
        return self._add(name + "/" + operation, operation, [source, kernel], attributes)
