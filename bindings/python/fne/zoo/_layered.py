"""Networks that are written layer by layer, in the form of either engine, with the same names of layers."""

from __future__ import annotations

from typing import Protocol

import numpy
from numpy.typing import NDArray

from fne._graph_writer import GraphWriter
from fne._onnx_writer import OnnxWriter

Weights = NDArray[numpy.float32]


class LayeredNetwork(Protocol):
    """What writes a network. Every method that adds a tensor returns its name."""

    def __init__(self, side: int) -> None:
        """A network for images of this height and width."""

    def pixels(self, mean: float, scale: float) -> str:
        """The input "input", float32 [n, side, side, 3], and (pixel - mean) * scale."""

    def convolution(self, name: str, source: str, weights: Weights, bias: Weights, stride: int, depthwise: bool) -> str:
        """A convolution as TensorFlow's 'SAME' pads it, with weights [out, in, height, width]."""

    def relu6(self, name: str, source: str) -> str:
        """A value between 0 and 6."""

    def sum(self, name: str, first: str, second: str) -> str:
        """The sum of two maps."""

    def classified(self, source: str, weights: Weights, bias: Weights) -> bytes:
        """Adds the mean of the maps, the dense layer "logits" with weights [out, in], and "probabilities".

        Returns:
            the whole network
        """


class LayeredGraphDef:
    """Writes a GraphDef."""

    def __init__(self, side: int) -> None:
        self._graph = GraphWriter()
        self._side = side

    def pixels(self, mean: float, scale: float) -> str:
        graph = self._graph
        tensor = graph.placeholder("input", [-1, self._side, self._side, 3])
        means = graph.constant("preprocessing/mean", numpy.array(mean, numpy.float32))
        scales = graph.constant("preprocessing/scale", numpy.array(scale, numpy.float32))
        tensor = graph.float_operation("preprocessing/Sub", "Sub", tensor, means)
        return graph.float_operation("preprocessing/Mul", "Mul", tensor, scales)

    def convolution(self, name: str, source: str, weights: Weights, bias: Weights, stride: int, depthwise: bool) -> str:
        kernel = weights.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        tensor = self._graph.convolution(name, source, kernel, stride, depthwise)
        biases = self._graph.constant(name + "/bias", bias)
        return self._graph.float_operation(name + "/BiasAdd", "BiasAdd", tensor, biases)

    def relu6(self, name: str, source: str) -> str:
        return self._graph.float_operation(name + "/Relu6", "Relu6", source)

    def sum(self, name: str, first: str, second: str) -> str:
        return self._graph.float_operation(name, "AddV2", first, second)

    def classified(self, source: str, weights: Weights, bias: Weights) -> bytes:
        graph = self._graph
        tensor = graph.mean("pool", source, [1, 2])
        kernel = graph.constant("logits/weights", weights.T)
        tensor = graph.float_operation("logits/MatMul", "MatMul", tensor, kernel)
        tensor = graph.float_operation("logits", "BiasAdd", tensor, graph.constant("logits/bias", bias))
        graph.float_operation("probabilities", "Softmax", tensor)
        return graph.serialized()


class LayeredOnnx:
    """Writes an ONNX model. Its maps have the channels first, and its input has them last, as the GraphDef's."""

    def __init__(self, side: int) -> None:
        self._model = OnnxWriter()
        self._side = side
        self._sides: dict[str, int] = {}  # of the maps
        self._low = self._model.constant("relu6/low", numpy.array(0, numpy.float32))
        self._high = self._model.constant("relu6/high", numpy.array(6, numpy.float32))

    def pixels(self, mean: float, scale: float) -> str:
        model = self._model
        tensor = model.input("input", [self._side, self._side, 3])
        means = model.constant("preprocessing/mean", numpy.array(mean, numpy.float32))
        scales = model.constant("preprocessing/scale", numpy.array(scale, numpy.float32))
        tensor = model.node("preprocessing/Sub", "Sub", tensor, means)
        tensor = model.node("preprocessing/Mul", "Mul", tensor, scales)
        tensor = model.node("preprocessing/Transpose", "Transpose", tensor, perm=[0, 3, 1, 2])
        return self._map(tensor, self._side)

    def convolution(self, name: str, source: str, weights: Weights, bias: Weights, stride: int, depthwise: bool) -> str:
        size, side = weights.shape[2], self._sides[source]
        new_side = -(-side // stride)
        padding = max((new_side - 1) * stride + size - side, 0)  # 'SAME' puts the odd one after the map
        before, after = padding // 2, padding - padding // 2
        tensor = self._model.node(
            name + "/BiasAdd",
            "Conv",
            source,
            self._model.constant(name + "/weights", weights),
            self._model.constant(name + "/bias", bias),
            group=len(weights) if depthwise else 1,
            kernel_shape=[size, size],
            pads=[before, before, after, after],
            strides=[stride, stride],
        )
        return self._map(tensor, new_side)

    def relu6(self, name: str, source: str) -> str:
        tensor = self._model.node(name + "/Relu6", "Clip", source, self._low, self._high)
        return self._map(tensor, self._sides[source])

    def sum(self, name: str, first: str, second: str) -> str:
        return self._map(self._model.node(name, "Add", first, second), self._sides[first])

    def classified(self, source: str, weights: Weights, bias: Weights) -> bytes:
        model = self._model
        tensor = model.node("pool", "ReduceMean", source, axes=[2, 3], keepdims=0)
        kernel, biases = model.constant("logits/weights", weights), model.constant("logits/bias", bias)
        tensor = model.node("logits", "Gemm", tensor, kernel, biases, transB=1)
        tensor = model.node("probabilities", "Softmax", tensor, axis=1)
        model.output(tensor, [len(weights)])
        return model.serialized("network")

    def _map(self, name: str, side: int) -> str:
        self._sides[name] = side
        return name
