"""Compares every network of keras.applications with Keras itself: `keras_networks.py [NAME ...] [--time]`.

Each network has random weights. The default layers must be Keras' own convolution and dense layers, in their order,
and the pooled values those of a Keras model that ends at these layers. It prints a line per network: the layers that
were found and those that there are, the largest difference as a share of the layer's largest value, and with --time the
processor time per image of libfne and of Keras' predict.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
import warnings
from typing import Any

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
ACTIVATIONS = (keras.layers.ReLU, keras.layers.Activation, keras.layers.LeakyReLU, keras.layers.PReLU)


def names() -> list[str]:
    """The networks of keras.applications."""
    return sorted(name for name, value in vars(keras.applications).items() if callable(value) and name[0].isupper())


def build(name: str) -> Any:
    """A network with random weights, and with the statistics of two random images in its normalizations. With those
    of a new network, the values of some would grow until their gates are shut."""
    keras.utils.set_random_seed(7)
    model = getattr(keras.applications, name)(weights=None)
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
    if normalizations:
        size = model.input_shape[1] or 224
        model(np.random.default_rng(7).integers(0, 256, (2, size, size, 3)).astype(np.float32), training=True)
    return model


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


def output_of(layer: Any, readers: dict[str, list[Any]]) -> Any:
    """The tensor after a layer's scales, normalization and activation, as long as one layer alone reads it.

    The division by 6 is part of the hard sigmoid that MobileNetV3 writes as ReLU6(x + 3) * (1 / 6).
    """
    last, is_shifted = layer, False
    while True:
        is_active = isinstance(last, ACTIVATIONS) or has_activation(last)
        following = readers.get(last.name, [])
        if len(following) != 1 or (is_active and not is_shifted):
            return last.output
        combines = combines_with_a_constant(following[0])
        kinds = (keras.layers.BatchNormalization, *ACTIVATIONS)
        if not combines and (is_active or not isinstance(following[0], kinds)):
            return last.output
        is_shifted = is_shifted or (combines and type(following[0]).__name__ == "Add")
        last = following[0]


def wanted(model: Any) -> list[tuple[str, Any]]:
    """The layers that must be found, with the tensors that they end in; None for the first half of a separable one."""
    readers = consumers(model)
    found: list[tuple[str, Any]] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):  # its layers are not tensors of the outer model
            found += [(inner.name, None) for inner in layer.layers if isinstance(inner, LAYERS)]
        if not isinstance(layer, LAYERS):
            continue
        if isinstance(layer, keras.layers.SeparableConv2D):
            found.append((layer.name + " (depthwise)", None))
        found.append((layer.name, output_of(layer, readers)))
    # A network's last layer tells the classes, and is no default layer.
    return found[:-1] if getattr(model.layers[-1], "activation", None) is keras.activations.softmax else found


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


def compare(name: str, timed: bool = False) -> dict[str, Any]:
    """What came of a network."""
    model = build(name)
    layers = wanted(model)
    size = model.input_shape[1] or 224
    # The outputs of all layers of a large network take gigabytes per image.
    pixels = np.random.default_rng(1).integers(0, 256, (2 if size < 400 else 1, size, size, 3), np.uint8)
    outputs = [tensor for _, tensor in layers if tensor is not None]
    expected = keras.Model(model.input, outputs).predict(pixels.astype(np.float32), verbose=0)
    frozen = fne.Model(model)
    with fne.Extractor(frozen, size=(size, size)) as extractor:
        found = extractor.extract(list(pixels)).features
        blocks = [found[:, layer.features] for layer in extractor.layers]
        values = iter(expected)
        differing: list[tuple[str, float]] = []
        if len(blocks) == len(layers):
            for (layer, tensor), block in zip(layers, blocks, strict=True):
                if tensor is None:
                    continue
                value = pooled(next(values))
                if value.shape != block.shape:
                    differing.append((layer, np.inf))
                    continue
                differing.append((layer, float(np.abs(value - block).max() / max(np.abs(value).max(), 1e-30))))
        result: dict[str, Any] = {"name": name, "found": len(blocks), "there": len(layers), "differences": differing}
        result["notes"] = frozen.notes()
        result["names"] = [layer.name for layer in extractor.layers]
        if timed:
            batch = list(np.repeat(pixels, 4, 0))
            result["ms"] = processor_time(lambda: extractor.extract(batch), 3) / len(batch)
            floats = np.asarray(batch, np.float32)
            result["keras_ms"] = processor_time(lambda: model.predict(floats, verbose=0), 3) / len(batch)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--time", action="store_true", help="measure the processor time too")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = given.names or names()
    if len(chosen) > 1:  # a process for each, since Keras does not give all memory back
        for name in chosen:
            subprocess.run([sys.executable, __file__, name, *(["--time"] if given.time else [])], check=False)
        return
    for name in chosen:
        started = time.monotonic()
        result = compare(name, given.time)
        differences = dict(result["differences"])
        largest = max(differences.values(), default=np.nan)
        beyond = {layer: value for layer, value in differences.items() if not value <= 1e-4}
        times = f"{result['ms']:8.1f} {result['keras_ms']:8.1f}" if given.time else ""
        print(
            f"{name:20} {result['found']:4} of {result['there']:4} {largest:9.1e} {times} "
            f"{len(beyond)} beyond 1e-4 {list(beyond)[:4]} {result['notes']} ({time.monotonic() - started:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
