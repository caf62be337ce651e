"""Writes an ONNX model (onnx/onnx.proto) without the package onnx."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from fne._protobuf import block, number

_FLOAT = 1  # TensorProto.DataType
_IR_VERSION, _OPSET = 7, 13  # what ONNX Runtime reads since 1.6


class OnnxWriter:
    """Collects nodes. Every method that adds one returns the name of its tensor. Maps are [n, channels, side, side]."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._values: list[bytes] = []

    def input(self, name: str, shape: Sequence[int]) -> str:
        """The model's input, float32 [n, *shape]."""
        self._values.append(block(11, _value(name, shape)))
        return name

    def output(self, name: str, shape: Sequence[int]) -> None:
        """Makes a tensor an output of the model, float32 [n, *shape]."""
        self._values.append(block(12, _value(name, shape)))

    def constant(self, name: str, value: NDArray[numpy.float32]) -> str:
        data = numpy.ascontiguousarray(value, "<f4").tobytes()
        sizes = b"".join(number(1, size) for size in value.shape)
        self._constants.append(block(5, sizes + number(2, _FLOAT) + block(8, name) + block(9, data)))
        return name

    def node(self, name: str, operation: str, *inputs: str, **attributes: int | Sequence[int]) -> str:
        """Adds a node, whose attributes are integers or lists of integers."""
        body = b"".join(block(1, source) for source in inputs) + block(2, name) + block(3, name) + block(4, operation)
        for key, value in attributes.items():
            if isinstance(value, int):
                body += block(5, block(1, key) + number(3, value) + number(20, 2))
            else:
                body += block(5, block(1, key) + b"".join(number(8, one) for one in value) + number(20, 7))
        self._nodes.append(block(1, body))
        return name

    def serialized(self, graph: str) -> bytes:
        """The model, whose graph has this name."""
        body = b"".join(self._nodes) + block(2, graph) + b"".join(self._constants + self._values)
        return number(1, _IR_VERSION) + block(2, "fne") + block(7, body) + block(8, number(2, _OPSET))


def _value(name: str, shape: Sequence[int]) -> bytes:
    sizes = block(1, block(2, "n")) + b"".join(block(1, number(1, size)) for size in shape)
    return block(1, name) + block(2, block(1, number(1, _FLOAT) + block(2, sizes)))
