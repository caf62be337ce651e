"""PyTorch's modules on Ray and Spark: they are exported once, and the file travels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch_networks  # PyTorch has to be imported before TensorFlow
from clusters import frame_of, of_paths, ray_session, spark_session

import fne
from fne._cluster import worker


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A PyTorch module, and a call that empties the cache: what travels to the workers needs none."""
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))
    return torch_networks.sequential(), lambda: [file.unlink() for file in (tmp_path / "cache").iterdir()]


@pytest.fixture
def paths(photographs):
    return [str(path) for path in photographs[:3]]


def expected_of(module, paths):
    with fne.Extractor(module, size=torch_networks.SIZE, preset="imagenet", pad_batches=True) as extractor:
        return dict(zip(paths, extractor.extract(paths).features, strict=True))


def compare_rows(found, expected):
    assert set(found) == set(expected)
    for path, values in expected.items():
        np.testing.assert_array_equal(np.asarray(found[path], np.float32), values)


def test_ray_takes_a_module(paths, module):
    import fne.ray

    network, empty_cache = module
    expected = expected_of(network, paths)
    with ray_session() as ray:
        rows = fne.ray.features(of_paths(ray, paths), network, size=torch_networks.SIZE, preset="imagenet")
        empty_cache()
        compare_rows({row["path"]: row["features"] for row in rows.take_all()}, expected)


def test_spark_takes_a_model(tmp_path, paths, module):
    import fne.spark

    network, empty_cache = module
    expected = expected_of(network, paths)
    model = fne.Model(network, size=torch_networks.SIZE)
    with spark_session(tmp_path / "warehouse") as spark:
        rows = fne.spark.features(frame_of(spark, paths), model, preset="imagenet")
        empty_cache()
        compare_rows({row["path"]: row["features"] for row in rows.collect()}, expected)


def test_models_that_travel(module, graph, tmp_path):
    """A path goes as it is. Of a network what stands beside its file goes too."""
    assert worker.plan(graph, {"layers": "x"}, True)[1:3] == (str(graph), {"layers": "x"})
    assert worker.plan(graph.read_bytes(), {}, False)[1:4] == (None, {}, None)
    image = list(np.random.default_rng(0).integers(0, 256, (1, *torch_networks.SIZE, 3), np.uint8))
    network, empty_cache = module
    file = tmp_path / "network.onnx"
    file.write_bytes(fne.Model(network, size=torch_networks.SIZE).__reduce__()[1][0].graph)
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}')
    plan = worker.plan(fne.Model(file), {}, True)
    assert plan.file == str(file) and plan.options["scale"] == pytest.approx((1 / 63.75,) * 3)
    with fne.Extractor(file, pad_batches=True) as extractor:
        np.testing.assert_array_equal(worker.features(plan, image).values, extractor.extract(image).features)
    one = worker.plan(network, {"size": torch_networks.SIZE, "preset": "raw"}, True)
    empty_cache()
    assert one.file is None and pickle.loads(one.model)._origin.graph == file.read_bytes()
