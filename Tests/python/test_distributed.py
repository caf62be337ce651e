"""Ray Data and Spark with two workers and unequal parts: the bits of one process."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch_networks  # PyTorch has to be imported before TensorFlow

import fne

SIZE = (48, 64)


@pytest.fixture(scope="module")
def paths(tmp_path_factory, photographs):
    broken = tmp_path_factory.mktemp("broken") / "broken.jpg"
    broken.write_bytes(photographs[0].read_bytes()[:1000])
    return [str(path) for path in [*photographs[:9], broken, *photographs[9:]]]


@pytest.fixture(scope="module")
def job(tmp_path_factory, graph, paths):
    return fne.embed_dataset(paths, graph, tmp_path_factory.mktemp("job") / "job", size=SIZE)


def compare(job, paths, rows, statistics, coded):
    """rows, coded: path -> (status, reason, values)."""
    assert statistics.to_bytes() == job.statistics().to_bytes()
    assert set(rows) == set(coded) == set(paths)
    for image, path in enumerate(paths):
        status, reason, values = rows[path]
        assert status == job.statuses[image] and (path in reason if status else reason == "")
        np.testing.assert_array_equal(np.asarray(values, np.float32), job.features(images=[image])[0])
        np.testing.assert_array_equal(np.asarray(coded[path][2], np.int8), job.codes(images=[image])[0])


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A PyTorch module, and a call that empties the cache: what travels to the workers needs none."""
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))
    return torch_networks.sequential(), lambda: [file.unlink() for file in (tmp_path / "cache").iterdir()]


def expected_of(module, paths):
    with fne.Extractor(module, size=torch_networks.SIZE, preset="imagenet", pad_batches=True) as extractor:
        return dict(zip(paths, extractor.extract(paths).features, strict=True))


def compare_rows(found, expected):
    assert set(found) == set(expected)
    for path, values in expected.items():
        np.testing.assert_array_equal(np.asarray(found[path], np.float32), values)


def test_ray(tmp_path, graph, paths, job, module):
    import ray
    import ray.data

    import fne.ray

    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        # Blocks of 3, 14 and 8 images.
        sets = [
            ray.data.from_items([{"path": p} for p in part], override_num_blocks=1)
            for part in (paths[:3], paths[3:17], paths[17:])
        ]
        rows = fne.ray.features(sets[0].union(*sets[1:]), graph, size=SIZE, concurrency=2).materialize()
        statistics = fne.ray.statistics(rows)
        fne.ray.codes(rows, statistics).write_parquet(str(tmp_path / "codes"))
        coded = ray.data.read_parquet(str(tmp_path / "codes"))
        compare(
            job,
            paths,
            {r["path"]: (r["status"], r["reason"], r["features"]) for r in rows.take_all()},
            statistics,
            {r["path"]: (r["status"], r["reason"], r["codes"]) for r in coded.take_all()},
        )
        network, empty_cache = module
        expected = expected_of(network, paths[:3])
        rows = fne.ray.features(sets[0], network, size=torch_networks.SIZE, preset="imagenet")
        empty_cache()
        compare_rows({row["path"]: row["features"] for row in rows.take_all()}, expected)
    finally:
        ray.shutdown()


def test_spark(tmp_path, monkeypatch, graph, paths, job, module):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    import fne.spark

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "5")
        .config("spark.sql.warehouse.dir", str(tmp_path / "warehouse"))
        .getOrCreate()
    )
    try:
        session.sparkContext.setLogLevel("OFF")
        # Partitions of 3, 14 and 8 images, and an empty one.
        parts = [paths[:3], paths[3:17], [], paths[17:]]
        frame = (
            session.sparkContext.parallelize(parts, 4).flatMap(lambda part: [(path,) for path in part]).toDF(["path"])
        )
        rows = fne.spark.features(frame, graph.read_bytes(), size=SIZE).cache()
        statistics = fne.spark.statistics(rows)
        fne.spark.codes(rows, statistics).write.parquet(str(tmp_path / "codes"))
        coded = session.read.parquet(str(tmp_path / "codes"))
        compare(
            job,
            paths,
            {r["path"]: (r["status"], r["reason"], r["features"]) for r in rows.collect()},
            statistics,
            {r["path"]: (r["status"], r["reason"], r["codes"]) for r in coded.collect()},
        )
        network, empty_cache = module
        expected = expected_of(network, paths[:3])
        model = fne.Model(network, size=torch_networks.SIZE)
        part = session.createDataFrame([(path,) for path in paths[:3]], ["path"])
        rows = fne.spark.features(part, model, preset="imagenet")
        empty_cache()
        compare_rows({row["path"]: row["features"] for row in rows.collect()}, expected)
    finally:
        session.stop()


@pytest.mark.parametrize("wrong", [3, ["network.pb"]])
def test_models_that_cannot_travel(wrong):
    from fne._distributed import portable

    with pytest.raises(TypeError, match="a model for workers"):
        portable(wrong, {})


def test_models_that_travel(module, graph, tmp_path):
    """A path and bytes go as they are. Of a model its feeds go too, and of a network what stands beside its file."""
    from fne import _distributed

    assert _distributed.portable(graph, {"layers": "x"}) == (str(graph), {"layers": "x"})
    assert _distributed.portable(graph.read_bytes(), {}) == (graph.read_bytes(), {})
    image = np.random.default_rng(0).integers(0, 256, (1, *torch_networks.SIZE, 3), np.uint8)
    network, empty_cache = module
    file = tmp_path / "network.onnx"
    file.write_bytes(fne.Model(network, size=torch_networks.SIZE).__reduce__()[1][0].graph)
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}')
    shipped, options = _distributed.portable(fne.Model(file), {})
    assert shipped.origin.graph == str(file) and options["scale"] == pytest.approx((1 / 63.75,) * 3)
    found, _, _ = _distributed.features(shipped, options, list(image))
    with fne.Extractor(file, pad_batches=True) as extractor:
        np.testing.assert_array_equal(found, extractor.extract(list(image)).features)
    one, _ = _distributed.portable(network, {"size": torch_networks.SIZE, "preset": "raw"})
    empty_cache()
    assert one.origin.graph == file.read_bytes()


def test_merging_nothing():
    from fne._distributed import merged

    with pytest.raises(ValueError, match="no rows"):
        merged([])
