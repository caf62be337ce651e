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
