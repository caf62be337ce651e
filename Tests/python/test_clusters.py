"""Ray Data and Spark on this machine, with two workers: the bits of one process, whatever the column holds."""

from __future__ import annotations

import gc
import json
import os
import shutil
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow
import pytest
from clusters import frame_of, of_paths, ray_session, spark_session

import fne
from fne._cluster import worker

SIZE = (48, 64)
MISSING = "/no/such/folder/image.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photographs):
    """24 photographs, a broken one and a TIFF, which Pillow reads."""
    folder = tmp_path_factory.mktemp("pictures and #1")
    for number, path in enumerate(photographs[:24]):
        shutil.copy(path, folder / f"{number:02d}.jpg")
    (folder / "09 broken.jpg").write_bytes(photographs[0].read_bytes()[:1000])
    cv2.imwrite(str(folder / "30.tiff"), cv2.imread(str(photographs[0])))
    return folder


@pytest.fixture(scope="module")
def paths(folder):
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def job(tmp_path_factory, graph, folder):
    return fne.embed_dataset(
        folder, graph, tmp_path_factory.mktemp("job") / "job", size=SIZE, codes=["int8", "packed"], streams=1
    )


def compare(job, paths, rows, statistics, coded):
    """rows, coded: path -> (status, reason, values)."""
    assert statistics.to_bytes() == job.statistics().to_bytes()
    assert set(rows) == set(coded) == set(paths)
    for image, path in enumerate(paths):
        status, reason, values = rows[path]
        assert status == job.statuses[image] and (path in reason if status else reason == "")
        np.testing.assert_array_equal(np.asarray(values, np.float32), job.features(images=[image])[0])
        np.testing.assert_array_equal(np.asarray(coded[path][2], np.int8), job.codes(images=[image])[0])


def packed_codes(rows, job):
    """The codes of the column "packed" of rows in the job's order, and those of the job."""
    found = fne.PackedCodes.from_bytes([row["packed"] for row in rows], job.feature_count)
    return found.words, job.packed_codes().words


def assert_packed(rows, job):
    """Rows in the job's order, with its packed codes, and null where an image failed."""
    np.testing.assert_array_equal(*packed_codes(rows, job))
    assert [row["packed"] is None for row in rows] == [status != 0 for status in job.statuses]


# ---- Ray


@pytest.fixture(scope="module")
def ray():
    with ray_session() as session:
        yield session


def in_order(dataset, names):
    """A data set's rows in the order of their paths."""
    found = {os.path.basename(row["path"]): row for row in dataset.take_all()}
    return [found[name] for name in names]


def test_ray_in_two_steps(ray, tmp_path, graph, paths, job):
    import fne.ray

    rows = fne.ray.features(of_paths(ray, paths[:3], paths[3:17], paths[17:]), graph, size=SIZE).materialize()
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
    packed = in_order(fne.ray.codes(rows, statistics, packed=True), [os.path.basename(path) for path in paths])
    assert_packed(packed, job)
    engine = json.loads(rows.take(1)[0]["engine"])
    recorded = {name: value for name, value in job.manifest["engines"][0].items() if name != "first_image"}
    assert {name: engine[name] for name in recorded} == recorded and len(recorded) > 3
    assert job.manifest["settings"]["model"]["sha256"].startswith(engine["model"])


def test_ray_in_one_pass(ray, tmp_path, graph, paths, job):
    import fne.ray

    sampled = fne.ray.statistics_of_sample(of_paths(ray, paths), graph, fraction=1, size=SIZE)
    assert sampled.to_bytes() == job.statistics().to_bytes()
    fne.ray.embed(of_paths(ray, paths[:20], paths[20:]), graph, sampled, size=SIZE).write_parquet(
        str(tmp_path / "codes")
    )
    rows = in_order(ray.data.read_parquet(str(tmp_path / "codes")), [os.path.basename(path) for path in paths])
    assert_packed(rows, job)
    assert [row["status"] for row in rows] == job.statuses.tolist()


def test_ray_read_binary_files(ray, graph, folder, job):
    import fne.ray

    rows = fne.ray.features(ray.data.read_binary_files(str(folder), include_paths=True), graph, size=SIZE)
    rows = in_order(rows, job.names)
    np.testing.assert_array_equal(np.stack([row["features"] for row in rows]), job.features())
    assert [row["status"] for row in rows] == job.statuses.tolist()
    assert max(len(row["reason"]) for row in rows) < 310


def test_ray_read_images(ray, tmp_path, graph, photographs):
    """Pixels as Pillow decodes them: of three sizes, in RGB, grey and with alpha."""
    import fne.ray

    pictures = {}
    for number, path in enumerate(photographs[:6]):
        pixels = fne.read_image(path)[: 90 + 10 * (number % 3), :100]
        grey, alpha = pixels[..., :1], np.full_like(pixels[..., :1], 77)
        kind = [pixels, grey[..., 0], np.concatenate([pixels, alpha], 2)][number % 3]
        name = f"{number}.png"
        cv2.imwrite(str(tmp_path / name), kind if kind.ndim == 2 else kind[..., [2, 1, 0, 3][: kind.shape[2]]])
        pictures[name] = np.repeat(grey, 3, 2) if number % 3 == 1 else pixels
    rows = fne.ray.features(ray.data.read_images(str(tmp_path), include_paths=True), graph, size=SIZE)
    rows = in_order(rows, list(pictures))
    assert [row["reason"] for row in rows] == [""] * 6
    with fne.Extractor(graph, size=SIZE, pad_batches=True, streams=1) as extractor:
        expected = extractor.extract([np.ascontiguousarray(pixels) for pixels in pictures.values()]).features
    np.testing.assert_array_equal(np.stack([row["features"] for row in rows]), expected)


def test_ray_bad_images_alone(ray, tmp_path, graph, paths, job):
    """Two hundred in a row, a null, an address, and a block of one."""
    import fne.ray

    wrong = [MISSING] * 200 + [None, "s3://bucket/a.jpg"]
    data = of_paths(ray, wrong, paths[:5], [MISSING])
    rows = fne.ray.features(data, graph, size=SIZE).materialize()
    statistics = fne.ray.statistics(fne.ray.features(of_paths(ray, paths), graph, size=SIZE))
    fne.ray.codes(rows, statistics).write_parquet(str(tmp_path / "codes"))
    coded = ray.data.read_parquet(str(tmp_path / "codes")).take_all()
    bad = [row for row in coded if row["path"] not in paths]
    assert len(bad) == 203 and all((row["codes"] == fne.SKIPPED_CODE).all() for row in bad)
    reasons = {row["path"]: row["reason"] for row in bad}
    assert MISSING in reasons[MISSING] and "null" in reasons[None] and "is an address" in reasons["s3://bucket/a.jpg"]
    for row in coded:
        if row["path"] in paths:
            np.testing.assert_array_equal(row["codes"], job.codes(images=[paths.index(row["path"])])[0])
    packed = fne.ray.embed(of_paths(ray, [MISSING], wrong), graph, statistics, size=SIZE).take_all()
    assert all(row["packed"] is None for row in packed)
    with pytest.raises(ValueError, match=r"all 203 are bad, such as for this reason: .*image\.jpg"):
        fne.ray.statistics(fne.ray.features(of_paths(ray, [MISSING], wrong), graph, size=SIZE))


def test_ray_stops_where_most_images_fail(ray, graph, paths):
    import fne.ray

    data = ray.data.from_items([{"path": MISSING}] * 1200, override_num_blocks=1)
    with pytest.raises(Exception, match=r"images of a worker failed for one reason.*stop_on_failures=False"):
        fne.ray.features(data, graph, size=SIZE, concurrency=1).materialize()
    assert fne.ray.features(data, graph, size=SIZE, concurrency=1, stop_on_failures=False).count() == 1200


def test_ray_workers_that_differ(ray, graph, paths):
    import fne.ray

    variables = {"runtime_env": {"env_vars": {"TF_ENABLE_ONEDNN_OPTS": "0"}}}
    first = fne.ray.features(of_paths(ray, paths[:9]), graph, size=SIZE, concurrency=1).materialize()
    other = fne.ray.features(
        of_paths(ray, paths[9:]), graph, size=SIZE, concurrency=1, ray_remote_args=variables
    ).materialize()
    with pytest.raises(fne.JobMismatchError, match=r'"TF_ENABLE_ONEDNN_OPTS": "0"') as failure:
        fne.ray.statistics(first.union(other))
    assert "accept_other_engine=True" in str(failure.value)
    mixed = fne.ray.statistics(first.union(other), accept_other_engine=True)
    assert mixed.count == len(paths) - 1


def test_ray_all_processors_after_another_step(ray, graph, paths):
    """As many workers as processors, and a filter before them, which needs one: it would wait for ever."""
    import fne.ray

    data = of_paths(ray, *[[path] for path in paths]).map(lambda row: row, num_cpus=1)
    for concurrency in (2, 3, None):
        assert fne.ray.features(data, graph, size=SIZE, concurrency=concurrency).count() == len(paths)
    assert fne.ray._actors(1, 1) == (1, 1) and fne.ray._actors(2, 1) == (1, 2)
    assert fne.ray._actors(None, 0.5) == (1, 4) and fne.ray._actors((2, 5), 1) == (2, 5)


def test_ray_keeps_the_workers(ray, graph, paths):
    """The process that embedded holds the extractor for the next call. Those of actors would have ended."""
    import fne.ray

    fne.ray.features(of_paths(ray, paths), graph, size=SIZE, layers="relu1").materialize()

    @ray.remote
    def kept():
        time.sleep(0.3)  # so that the other tasks run in other processes
        return list(worker._extractors)

    key = worker.plan(graph, {"size": SIZE, "layers": "relu1"}, False).key
    assert any(found.startswith(key) for held in ray.get([kept.remote() for _ in range(2)]) for found in held)


def test_ray_workers_with_gpus_are_actors(ray, graph, paths, job):
    import fne.ray

    rows = fne.ray.features(of_paths(ray, paths), graph, size=SIZE, concurrency=1, num_gpus=0.5)
    found = in_order(rows, [os.path.basename(path) for path in paths])
    np.testing.assert_array_equal(np.stack([row["features"] for row in found]), job.features())


def test_ray_workers_merge_the_statistics(ray, graph, paths, job, monkeypatch):
    """26 parts come here as one."""
    import fne.ray

    rows = fne.ray.features(of_paths(ray, paths), graph, size=SIZE).repartition(8).materialize()
    monkeypatch.setattr(fne.ray, "_ROWS_AT_ONCE", 1)
    came = []
    together = fne.ray.parts.statistics_of
    monkeypatch.setattr(
        fne.ray.parts, "statistics_of", lambda parts, accept: together(came.extend(parts) or came, accept)
    )
    assert fne.ray.statistics(rows).to_bytes() == job.statistics().to_bytes()
    assert len(came) == 1 and came[0].good + came[0].bad == len(paths)


def test_ray_ten_crops_feeds_and_choices(ray, graph, paths, job):
    """Options and models as elsewhere: an open model, ten crops, layers."""
    import fne.ray

    model = fne.Model(graph.read_bytes())
    layers = [layer.name for layer in job.layers[:2]]
    rows = fne.ray.features(of_paths(ray, paths[:5]), model, size=SIZE, crops=10, layers=layers).materialize()
    with fne.Extractor(graph, size=SIZE, crops=10, layers=layers, pad_batches=True, streams=1) as extractor:
        expected = extractor.extract(paths[:5]).features.reshape(5, 10, -1)
    found = in_order(rows, [os.path.basename(path) for path in paths[:5]])
    np.testing.assert_array_equal(np.stack([row["features"] for row in found]), expected)
    statistics = fne.ray.statistics(rows)
    assert statistics.count == 50
    codes = in_order(fne.ray.codes(rows, statistics), [os.path.basename(path) for path in paths[:5]])
    flat = expected.reshape(50, -1)
    ternary = fne.ternarize(flat, statistics.mean(), statistics.std()).reshape(5, 10, -1)
    np.testing.assert_array_equal(np.stack([row["codes"] for row in codes]), ternary)


def test_ray_columns_that_are_wrong(ray, graph):
    import fne.ray

    data = ray.data.from_items([{"file": "a.jpg"}])
    with pytest.raises(ValueError, match="pass column, one of 'file'"):
        fne.ray.features(data, graph, size=SIZE)
    with pytest.raises(ValueError, match="there is no column 'x'"):
        fne.ray.features(data, graph, size=SIZE, column="x")
    with pytest.raises(ValueError, match="already, which fne would add"):
        fne.ray.features(ray.data.from_items([{"path": "a", "status": 1}]), graph, size=SIZE)
    with pytest.raises(Exception, match="holds int64"):
        fne.ray.features(ray.data.from_items([{"path": 3}]), graph, size=SIZE).materialize()
    with pytest.raises(ValueError, match="on_error is not for workers"):
        fne.ray.features(data, graph, size=SIZE, on_error="raise")
    with pytest.raises(TypeError, match="a model is a path"):
        fne.ray.features(data, 3, size=SIZE)
    with pytest.raises(ValueError, match="fraction is 2"):
        fne.ray.statistics_of_sample(data, graph, fraction=2)


def test_ray_empty(ray, graph):
    import fne.ray

    rows = fne.ray.features(ray.data.from_items([{"path": "a"}]).filter(lambda row: False), graph, size=SIZE)
    assert rows.take_all() == []
    with pytest.raises(ValueError, match="no rows"):
        fne.ray.statistics(rows)


# ---- Spark


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    with spark_session(tmp_path_factory.mktemp("warehouse")) as session:
        yield session


def test_spark_in_two_steps(spark, tmp_path, graph, paths, job):
    import fne.spark

    # Partitions of 3, 14 and 9 images, and an empty one.
    frame = frame_of(spark, paths[:3], paths[3:17], [], paths[17:])
    rows = fne.spark.features(frame, graph.read_bytes(), size=SIZE).cache()
    statistics = fne.spark.statistics(rows)
    fne.spark.codes(rows, statistics).write.parquet(str(tmp_path / "codes"))
    coded = spark.read.parquet(str(tmp_path / "codes"))
    compare(
        job,
        paths,
        {r["path"]: (r["status"], r["reason"], r["features"]) for r in rows.collect()},
        statistics,
        {r["path"]: (r["status"], r["reason"], r["codes"]) for r in coded.collect()},
    )
    packed = fne.spark.codes(rows, statistics, packed=True)
    assert packed.columns == ["path", "status", "reason", "engine", "packed"]
    found = {row["path"]: row for row in packed.collect()}
    assert_packed([found[path] for path in paths], job)


def test_spark_workers_search_little_for_garbage(spark, graph, paths):
    """Spark searches after each task. What a worker has loaded by then is left out."""
    import fne.spark

    def left_out(batches):
        for batch in batches:
            yield pyarrow.RecordBatch.from_pydict({"count": [gc.get_freeze_count()] * len(batch)})

    fne.spark.features(frame_of(spark, paths[:9], paths[9:]), graph, size=SIZE).collect()
    found = spark.range(0, 4, 1, 4).mapInArrow(left_out, "count long").collect()
    assert max(row["count"] for row in found) > 10_000


def test_spark_merges_by_no_more_tasks_than_processors(spark, graph, paths):
    """Two here. A client of Spark Connect does not see the processors: the stand-in raises what its session raises."""
    from pyspark.errors import PySparkAttributeError

    import fne.spark

    class Remote:
        @property
        def sparkContext(self):
            raise PySparkAttributeError(errorClass="JVM_ATTRIBUTE_NOT_SUPPORTED", messageParameters={"attr_name": "x"})

    assert fne.spark._mergers(frame_of(spark, paths)) == 2
    assert fne.spark._mergers(SimpleNamespace(sparkSession=Remote())) == fne.spark._MERGERS


@pytest.mark.parametrize("column", [None, "path"])
def test_spark_binary_file(spark, graph, folder, job, column):
    """The content, and the path, which Hadoop writes as "file:/folder/image.jpg"."""
    import fne.spark

    frame = spark.read.format("binaryFile").load(str(folder))
    assert frame.first()["path"].startswith("file:/")
    statistics = fne.spark.statistics_of_sample(frame, graph, fraction=1, size=SIZE, column=column)
    assert statistics.to_bytes() == job.statistics().to_bytes()
    rows = fne.spark.embed(frame, graph, statistics, size=SIZE, column=column).drop("content").collect()
    found = {os.path.basename(row["path"]): row for row in rows}
    found, expected = packed_codes([found[name] for name in job.names], job)
    np.testing.assert_array_equal(found, expected)


def test_spark_image_source(spark, tmp_path, graph, photographs):
    """Spark's own reader: BGR, grey and BGRA, and what it could not read. PNG, so that both decode the same pixels."""
    import fne.spark

    pictures = {}
    for number, path in enumerate(photographs[:3]):
        pixels = fne.read_image(path)[:90, :100]
        written = [pixels[..., ::-1], pixels[..., 0], np.dstack([pixels[..., ::-1], pixels[..., 0]])][number]
        cv2.imwrite(str(tmp_path / f"{number}.png"), written)
        pictures[f"{number}.png"] = np.ascontiguousarray(np.repeat(pixels[..., :1], 3, 2) if number == 1 else pixels)
    (tmp_path / "3.png").write_bytes(b"broken")
    frame = spark.read.format("image").load(str(tmp_path))
    rows = {os.path.basename(r["image"]["origin"]): r for r in fne.spark.features(frame, graph, size=SIZE).collect()}
    with fne.Extractor(graph, size=SIZE, pad_batches=True, streams=1) as extractor:
        expected = extractor.extract(list(pictures.values())).features
    found = np.array([rows[name]["features"] for name in pictures], np.float32)
    np.testing.assert_array_equal(found, expected)
    assert rows["3.png"]["status"] and "read files with binaryFile" in rows["3.png"]["reason"]


def test_spark_bad_images_alone(spark, graph, paths, job):
    import fne.spark

    frame = frame_of(spark, [MISSING] * 5, paths[:7], [None, "s3a://bucket/a.jpg"], [MISSING])
    rows = fne.spark.features(frame, graph, size=SIZE).cache()
    statistics = fne.spark.statistics(fne.spark.features(frame_of(spark, paths), graph, size=SIZE))
    coded = fne.spark.codes(rows, statistics).collect()
    bad = [row for row in coded if row["path"] not in paths]
    assert len(bad) == 8 and {code for row in bad for code in row["codes"]} == {fne.SKIPPED_CODE}
    reasons = {row["path"]: row["reason"] for row in bad}
    assert MISSING in reasons[MISSING] and "null" in reasons[None] and "is an address" in reasons["s3a://bucket/a.jpg"]
    for row in coded:
        if row["path"] in paths:
            np.testing.assert_array_equal(row["codes"], job.codes(images=[paths.index(row["path"])])[0])
    with pytest.warns(fne.FewImagesWarning):
        assert fne.spark.statistics(rows).count == 7


def test_spark_workers_that_differ(spark, graph, paths):
    from pyspark.sql import functions

    import fne.spark

    rows = fne.spark.features(frame_of(spark, paths[:13], paths[13:]), graph, size=SIZE)
    other = functions.regexp_replace("engine", '"pillow": true', '"pillow": false')
    mixed = rows.withColumn("engine", functions.when(rows["path"] == paths[0], other).otherwise(rows["engine"]))
    with pytest.raises(fne.JobMismatchError, match=r'"pillow": false'):
        fne.spark.statistics(mixed)
    assert fne.spark.statistics(mixed, accept_other_engine=True).count == len(paths) - 1


def test_spark_ten_crops(spark, graph, paths):
    import fne.spark

    rows = fne.spark.features(frame_of(spark, paths[:3], paths[3:5]), graph, size=SIZE, crops=10).cache()
    with fne.Extractor(graph, size=SIZE, crops=10, pad_batches=True, streams=1) as extractor:
        expected = extractor.extract(paths[:5]).features.reshape(5, 10, -1)
    found = {row["path"]: row["features"] for row in rows.collect()}
    np.testing.assert_array_equal(np.array([found[path] for path in paths[:5]], np.float32), expected)
    statistics = fne.spark.statistics(rows)
    assert statistics.count == 50
    coded = {row["path"]: row["codes"] for row in fne.spark.codes(rows, statistics).collect()}
    ternary = fne.ternarize(expected.reshape(50, -1), statistics.mean(), statistics.std())
    np.testing.assert_array_equal(
        np.array([coded[path] for path in paths[:5]], np.int8), ternary.reshape(expected.shape)
    )
    packed = {row["path"]: row["packed"] for row in fne.spark.codes(rows, statistics, packed=True).collect()}
    words = fne.PackedCodes.from_bytes([packed[path] for path in paths[:5]], expected.shape[-1]).words
    np.testing.assert_array_equal(words, fne.PackedCodes.pack(ternary).words)


def test_spark_empty_and_wrong(spark, tmp_path, graph):
    from pyspark.errors import AnalysisException

    import fne.spark

    empty = spark.createDataFrame([], "path string")
    rows = fne.spark.features(empty, graph, size=SIZE)
    assert rows.count() == 0 and rows.columns == ["path", "features", "status", "reason", "engine"]
    with pytest.raises(ValueError, match="no rows"):
        fne.spark.statistics(rows)
    with pytest.raises(ValueError, match="pass column, one of 'file'"):
        fne.spark.features(spark.createDataFrame([], "file string"), graph)
    with pytest.raises(Exception, match=r"column 'path' holds int"):
        fne.spark.features(spark.createDataFrame([(3,)], "path int"), graph, size=SIZE).collect()
    with pytest.raises(AnalysisException, match="PATH_NOT_FOUND"):
        spark.read.format("binaryFile").load(str(tmp_path / "missing"))
    with pytest.raises(fne.errors.FileError, match="missing"):
        fne.list_images(tmp_path / "missing")


# ---- a worker's process


def test_a_file_that_was_replaced_is_another_model(tmp_path, graph, network, photographs):
    second_graph, file = tmp_path / "second.pb", tmp_path / "network.pb"
    changed = type(network[0])()
    changed.CopyFrom(network[0])
    weights = max(
        (node.attr["value"].tensor for node in changed.node if node.op == "Const"), key=lambda t: t.ByteSize()
    )
    weights.tensor_content = (np.frombuffer(weights.tensor_content, np.float32) / 2).tobytes()
    second_graph.write_bytes(changed.SerializeToString())
    shutil.copy(graph, file)
    plan = worker.plan(file, {"size": SIZE}, True)
    first = worker.features(plan, photographs[:2])
    assert worker.features(plan, photographs[:2]).engine == first.engine
    file.write_bytes(second_graph.read_bytes())
    second = worker.features(plan, photographs[:2])
    assert json.loads(second.engine)["model"] == fne.Model(second_graph).sha256()[:16]
    assert json.loads(second.engine)["model"] != json.loads(first.engine)["model"]
    with fne.Extractor(second_graph, size=SIZE, pad_batches=True) as extractor:
        np.testing.assert_array_equal(second.values, extractor.extract(photographs[:2]).features)


def test_a_path_that_only_workers_have(tmp_path, graph, photographs):
    file = tmp_path / "later.pb"
    plan = worker.plan(str(file), {"size": SIZE}, True)
    shutil.copy(graph, file)
    assert worker.features(plan, photographs[:2]).statuses.tolist() == [0, 0]


def test_reasons_are_short(graph):
    plan = worker.plan(graph, {"size": SIZE}, False)
    found = worker.features(plan, ["/" + "x" * 3000 + ".jpg", b"y" * 200_000])
    assert found.statuses.all() and max(map(len, found.reasons)) <= 300


@pytest.mark.parametrize(
    ("bad", "stops"), [(range(501), True), (range(500), False), (range(0, 1400, 2), False), (range(1000, 2000), False)]
)
def test_when_a_run_stops(graph, photographs, bad, stops):
    """More than half of the first thousand, for one reason."""
    plan = worker.plan(graph, {"size": SIZE}, True)
    statuses = np.zeros(2000, np.int32)
    statuses[list(bad)] = 4
    reasons = ["" if status == 0 else "it is missing" for status in statuses]

    def watch():
        for first in range(0, 2000, 50):
            worker._watch(plan.run, statuses[first : first + 50], reasons[first : first + 50])

    if not stops:
        watch()
        return
    with pytest.raises(OSError, match=r"501 of the first 550 images .* it is missing"):
        watch()
