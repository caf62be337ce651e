"""Networks of keras.applications have the layers and values of Keras. `Benchmarks/keras_networks.py` has them all."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "Benchmarks/keras_networks.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("keras_networks", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Grouped convolutions in calls, gates of hard sigmoids, gates of sigmoids, separable convolutions.
@pytest.mark.parametrize(
    ("name", "layers"), [("ConvNeXtTiny", 58), ("MobileNetV3Small", 53), ("EfficientNetV2B0", 91), ("Xception", 74)]
)
def test_layers_and_values(benchmark, name, layers):
    result = benchmark.compare(name)
    assert result["found"] == result["there"] == layers
    assert result["notes"] == []
    assert result["differences"] and {layer: value for layer, value in result["differences"] if not value <= 1e-4} == {}


def test_layers_are_matched_by_name(benchmark):
    """The graph's order is not Keras', and TensorFlow adds numbers to names."""
    wanted = [
        benchmark.Wanted("a", object(), "activation_1_end"),
        benchmark.Wanted("b (depthwise)"),
        benchmark.Wanted("b", object(), "activation_end"),
        benchmark.Wanted("gate", object(), "multiply_end"),
    ]
    names = ["net/activation_end_1/Relu", "net/b_end_1/depthwise", "net/activation_1_end_1/Relu", "net/mul_1"]
    assert benchmark.matched(wanted, names) == [2, 1, 0, 3]
    assert benchmark.matched(wanted, names[:3]) == [2, 1, 0, None]


def test_float64_tells_rounding_from_faults(benchmark):
    """libfne is as near to Keras in float64 as Keras in float32 is."""
    result = benchmark.compare("MobileNetV3Small", doubled=True)
    assert 0 < result["keras_double"] < 1e-5
    assert 0 < result["double"] < 4 * result["keras_double"]
