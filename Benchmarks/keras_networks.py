"""Compares every network of keras.applications with Keras itself: `keras_networks.py [NAME ...] [--time] [--double]`.

Each network has random weights. The default layers must be Keras' own convolution and dense layers, and the pooled
values those of a Keras model that ends at these layers. It prints a line per network: the layers that were found and
those that there are, the features, and the largest difference as a share of the layer's largest value. --double adds
the differences of libfne and of Keras from Keras in float64. --time adds the processor time per image of libfne and of
Keras' predict.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np

import fne

LAYERS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
)
# A layer's name ends so, because TensorFlow would make "activation_1" both of "activation" and of "activation_1".
END = "_end"
ACTIVATIONS = (keras.layers.ReLU, keras.layers.Activation, keras.layers.LeakyReLU, keras.layers.PReLU)


def names() -> list[str]:
    """The networks of keras.applications."""
    return sorted(name for name, value in vars(keras.applications).items() if callable(value) and name[0].isupper())


def pictures(count: int, size: int, seed: int) -> Any:
    """Pictures of soft shapes, which differ as photographs do, for small networks. For large ones it is noise: the
    statistics of two pictures alone would enlarge rounding errors until nothing else is left."""
    random = np.random.default_rng(seed)
    if size >= 300:
        return random.integers(0, 256, (count, size, size, 3), np.uint8)
    found = random.uniform(40, 215, (count, 1, 1, 3))
    for side in (2, 5, 14, 40, size):
        noise = random.normal(0, 1, (count, side, side, 3)) * random.uniform(5, 60, (count, 1, 1, 1))
        found = found + keras.ops.convert_to_numpy(keras.ops.image.resize(noise, (size, size), "bicubic"))
    return np.clip(found, 0, 255).astype(np.uint8)


def build(name: str) -> Any:
    """A network with random weights and random statistics in its normalizations.

    With these, the values of a network with gates would grow until its gates are shut. It has the statistics of some
    pictures. Others do not, because a random network makes nearly the same of all pictures in its last maps, and a
    division by their small deviation enlarges rounding errors.
    """
    keras.utils.set_random_seed(7)
    model = new(name)
    random = np.random.default_rng(7)
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
        layer.moving_mean.assign(random.normal(0, 0.2, layer.moving_mean.shape))
        layer.moving_variance.assign(random.uniform(0.5, 2, layer.moving_variance.shape))
    if normalizations and any(isinstance(layer, keras.layers.Multiply) for layer in model.layers):
        size = side(model)
        # The outputs of all layers of a large network take gigabytes per image.
        model(pictures(6 if size < 300 else 2, size, 7).astype(np.float32), training=True)
    return model


def new(name: str) -> Any:
    """A network without weights, whose layers have names that can be told apart in a graph."""
    model = getattr(keras.applications, name)(weights=None)
    for operation in model.operations:
        operation.name += END
    return model


def side(model: Any) -> int:
    """The sides of a network's images."""
    return int(model.input_shape[1] or 224)


def consumers(model: Any) -> dict[str, list[Any]]:
    """The layers that read each layer's output, by its name."""
    found: dict[str, list[Any]] = {}
    for layer in model.operations:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                found.setdefault(tensor._keras_history.operation.name, []).append(layer)
    return found


def combines_with_a_constant(layer: Any) -> bool:
    """Whether a layer is a sum or a product of one tensor and numbers."""
    named = type(layer).__name__ in ("Add", "Multiply") and not isinstance(layer, keras.layers.Layer)
    return type(layer).__name__ == "LayerScale" or (named and len(layer._inbound_nodes[0].input_tensors) == 1)


def has_activation(layer: Any) -> bool:
    """Whether a layer applies an activation itself."""
    return getattr(layer, "activation", None) not in (None, keras.activations.linear)


def output_of(layer: Any, readers: dict[str, list[Any]]) -> tuple[Any, str]:
    """The tensor after a layer's scales, normalization and activation, as long as one layer alone reads it, and the
    name of the Keras layer that it ends in.

    The division by 6 is part of the hard sigmoid that MobileNetV3 writes as ReLU6(x + 3) * (1 / 6). InceptionResNetV2
    adds its branches by x + branch * 0.1, and the factor belongs to the branch.
    """
    last, is_shifted = layer, False
    while True:
        is_active = isinstance(last, ACTIVATIONS) or has_activation(last)
        following = readers.get(last.name, [])
        if len(following) != 1 or (is_active and not is_shifted):
            return last.output, last.name
        if type(following[0]).__name__ == "CustomScaleLayer" and following[0].input[1] is last.output:
            return last.output * following[0].scale, following[0].name
        combines = combines_with_a_constant(following[0])
        kinds = (keras.layers.BatchNormalization, *ACTIVATIONS)
        if not combines and (is_active or not isinstance(following[0], kinds)):
            return last.output, last.name
        is_shifted = is_shifted or (combines and type(following[0]).__name__ == "Add")
        last = following[0]


class Wanted(NamedTuple):
    """A layer that must be found."""

    name: str
    # What it ends in, and the Keras layer that makes that; None where the outer model lacks it, as it does the first
    # half of a separable convolution.
    tensor: Any = None
    end: str = ""


def wanted(model: Any) -> list[Wanted]:
    """The layers that must be found."""
    readers = consumers(model)
    found: list[Wanted] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):  # its layers are not tensors of the outer model
            found += [Wanted(inner.name) for inner in layer.layers if isinstance(inner, LAYERS)]
        if not isinstance(layer, LAYERS):
            continue
        if isinstance(layer, keras.layers.SeparableConv2D):
            found.append(Wanted(layer.name + " (depthwise)"))
        found.append(Wanted(layer.name, *output_of(layer, readers)))
    # A network's last layer tells the classes, and is no default layer.
    return found[:-1] if getattr(model.layers[-1], "activation", None) is keras.activations.softmax else found


def matched(layers: list[Wanted], names: list[str]) -> list[int | None]:
    """For each layer the place of its name in a graph. Keras' order is not the graph's.

    Sums and products with a constant, in which some gates end, leave no name in a graph. They and the layers without a
    tensor take what is left, in its order.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        scope = re.search(rf"([^/]+{END})(_[0-9]+)?/", name)
        if scope:  # of a separable convolution's two halves, the second is its end
            places[scope[1]] = place
    found = [places.get(layer.end) for layer in layers]
    rest = iter([place for place in range(len(names)) if place not in found])
    return [next(rest, None) if place is None else place for place in found]


def pooled(values: Any) -> Any:
    return values.mean((1, 2)) if values.ndim == 4 else values


def processor_time(function: Any, runs: int) -> float:
    """The processor time of a call in ms, the least of several."""
    function()
    times = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_SELF)
        function()
        after = resource.getrusage(resource.RUSAGE_SELF)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times) * 1e3


def expected(model: Any, pixels: Any) -> list[Any]:
    """The pooled values of the layers that have a tensor."""
    outputs = [layer.tensor for layer in wanted(model) if layer.tensor is not None]
    values = keras.Model(model.input, outputs).predict(pixels.astype(keras.config.floatx()), verbose=0)
    return [pooled(value) for value in values]


def in_double(name: str, weights: list[Any], pixels: Any) -> list[Any]:
    """What Keras computes in float64."""
    set_type("float64")
    try:
        model = new(name)
        model.set_weights(weights)
        return expected(model, pixels)
    finally:
        set_type("float32")


def set_type(name: str) -> None:
    """Sets the type of values, weights and constants in networks that are made from now on."""
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)


def difference(values: Any, reference: Any) -> float:
    """The largest difference as a share of the largest value."""
    if values.shape != reference.shape:
        return float("inf")
    return float(np.abs(values - reference).max() / max(np.abs(reference).max(), 1e-30))


def compare(name: str, timed: bool = False, doubled: bool = False) -> dict[str, Any]:
    """What came of a network."""
    model = build(name)
    layers = wanted(model)
    size = side(model)
    pixels = pictures(2 if size < 400 else 1, size, 1)
    by_keras = expected(model, pixels)
    frozen = fne.Model(model)
    with fne.Extractor(frozen, size=(size, size)) as extractor:
        found = extractor.extract(list(pixels)).features
        blocks = [found[:, layer.features] for layer in extractor.layers]
        result: dict[str, Any] = {"name": name, "found": len(blocks), "there": len(layers), "features": found.shape[1]}
        result["notes"] = frozen.notes()
        result["names"] = [layer.name for layer in extractor.layers]
        if timed:
            batch = list(np.repeat(pixels, 4, 0))
            result["ms"] = processor_time(lambda: extractor.extract(batch), 3) / len(batch)
            floats = np.asarray(batch, np.float32)
            result["keras_ms"] = processor_time(lambda: model.predict(floats, verbose=0), 3) / len(batch)
    places = matched(layers, result["names"])
    of_tensors = [(layer.name, place) for layer, place in zip(layers, places, strict=True) if layer.tensor is not None]
    ours = [np.empty(0) if place is None else blocks[place] for _, place in of_tensors]
    result["differences"] = [
        (layer, difference(block, value)) for (layer, _), block, value in zip(of_tensors, ours, by_keras, strict=True)
    ]
    if doubled:
        reference = in_double(name, model.get_weights(), pixels)
        result["double"] = max(map(difference, ours, reference))
        result["keras_double"] = max(map(difference, by_keras, reference))
    return result


def line(result: dict[str, Any]) -> str:
    """What is printed of a network."""
    differences = dict(result["differences"])
    beyond = [layer for layer, value in differences.items() if not value <= 1e-4]
    text = f"{result['name']:20} {result['found']:4} of {result['there']:4} {result['features']:7,} "
    text += f"{max(differences.values(), default=np.nan):9.1e}"
    if "double" in result:
        text += f" {result['double']:9.1e} {result['keras_double']:9.1e}"
    if "ms" in result:
        text += f" {result['ms']:8.1f} {result['keras_ms']:8.1f}"
    return f"{text} {len(beyond)} beyond 1e-4 {beyond[:4]} {result['notes']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--time", action="store_true", help="measure the processor time too")
    parser.add_argument("--double", action="store_true", help="compare both with float64 too")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = given.names or names()
    if len(chosen) > 1:  # a process for each, since Keras does not give all memory back
        options = [*(["--time"] if given.time else []), *(["--double"] if given.double else [])]
        for name in chosen:
            # A frozen network is as large as its weights, and is not asked for again.
            with tempfile.TemporaryDirectory() as cache:
                environment = dict(os.environ, FNE_CACHE=cache)
                subprocess.run([sys.executable, __file__, name, *options], env=environment, check=False)
        return
    started = time.monotonic()
    print(f"{line(compare(chosen[0], given.time, given.double))} ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
