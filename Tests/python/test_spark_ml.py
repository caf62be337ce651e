"""The stages for Spark's pipelines: the bits of one process, in vectors, saved and loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from clusters import spark_session
from conftest import ROOT

import fne
from fne import spark_ml
from fne._options import ExtractorOptions

SIZE = (48, 64)
PAGE = ROOT / "docs/cluster.md"


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    with spark_session(tmp_path_factory.mktemp("warehouse")) as session:
        yield session


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Pictures of two classes, stripes and rings, and their labels."""
    folder = tmp_path_factory.mktemp("two classes")
    random = np.random.default_rng(1)
    found = {}
    for number in range(24):
        kind = number % 2
        rows, columns = np.mgrid[:60, :80].astype(np.float32)
        place = random.uniform(20, 40)
        waves = np.hypot(rows - place, columns - place) if kind else columns + random.uniform(-0.2, 0.2) * rows
        picture = 127 + 90 * np.sin(waves / random.uniform(2, 3))[..., None] + random.normal(0, 12, (60, 80, 3))
        path = folder / f"{number:02d}.png"
        cv2.imwrite(str(path), np.clip(picture, 0, 255).astype(np.uint8))
        found[str(path)] = float(kind)
    return found


@pytest.fixture(scope="module")
def frame(spark, classes):
    rows = list(classes.items())
    return spark.createDataFrame(spark.sparkContext.parallelize(rows, 2), "path string, label double")


@pytest.fixture(scope="module")
def expected(graph, classes):
    """What one process makes of them: the statistics and the features."""
    with fne.Extractor(graph, size=SIZE, pad_batches=True, streams=1) as extractor:
        features = extractor.extract(list(classes)).features
    return fne.Statistics(features.shape[1]).update(features), features


@pytest.fixture
def embedder(graph):
    yield spark_ml.FullNetworkEmbedder(model=graph, size=SIZE)
    spark_ml.clear_cache()


def vectors(frame, column="features"):
    """The vectors of a frame by their paths."""
    return {row["path"]: row[column].toArray() for row in frame.collect()}


def matrix(frame, classes, column="features"):
    found = vectors(frame, column)
    return np.stack([found[path] for path in classes])


def codes_of(expected, lower=-0.25, upper=0.15):
    statistics, features = expected
    return fne.ternarize(features, statistics.mean(), statistics.std(), lower=lower, upper=upper)


def test_vectors_are_the_codes_of_one_process(embedder, frame, classes, expected):
    """Columns that have the names that fne.spark adds, and labels with Spark's metadata, stay as they are."""
    from pyspark.sql import functions

    metadata = {"ml_attr": {"type": "nominal", "vals": ["a", "b"], "name": "label"}}
    wide = frame.withColumn("label", functions.col("label").alias("label", metadata=metadata))
    wide = wide.withColumn("features", functions.lit("mine")).withColumn("a.b", functions.col("label") + 1)
    embedder.setParams(outputCol="codes", statusCol="why", engineCol="by")
    fitted = embedder.fit(wide)
    assert fitted.statistics.to_bytes() == expected[0].to_bytes()
    rows = fitted.transform(wide).cache()
    assert rows.columns == ["path", "label", "features", "a.b", "why", "reason", "by", "codes"]
    assert rows.schema["label"].metadata == metadata
    assert rows.schema["codes"].metadata == {"ml_attr": {"num_attrs": expected[0].feature_count}}
    found = matrix(rows, classes, "codes")
    assert set(np.unique(found)) == {-1, 0, 1}
    assert found.astype(np.int8).tobytes() == codes_of(expected).tobytes()
    for row in rows.collect():
        assert (row["why"], row["reason"], row["features"]) == (0, "", "mine")
        assert row["label"] == classes[row["path"]] == row["a.b"] - 1
    assert json.loads(rows.first()["by"])["model"] == fne.Model(embedder.getOrDefault("model")).sha256()[:16]


def test_standardized_and_other_thresholds(embedder, frame, classes, expected):
    statistics, features = expected
    fitted = embedder.fit(frame)
    rows = fitted.transform(frame, {fitted.output: "standardized"})
    assert matrix(rows, classes).tobytes() == fne.standardize(features, statistics.mean(), statistics.std()).tobytes()
    rows = fitted.transform(frame, {fitted.lower: -1.0, fitted.upper: 1.0})
    assert matrix(rows, classes).astype(np.int8).tobytes() == codes_of(expected, -1, 1).tobytes()


def test_features_that_are_there(spark, tmp_path, embedder, frame, graph, classes, expected):
    """They were written and read again. The network does not run again: its file is gone."""
    import fne.spark

    fne.spark.features(frame, graph, size=SIZE).write.parquet(str(tmp_path / "features"))
    rows = spark.read.parquet(str(tmp_path / "features"))
    embedder.setParams(model="/no/such/network.pb", inputCol="features", outputCol="codes")
    fitted = embedder.fit(rows)
    assert fitted.statistics.to_bytes() == expected[0].to_bytes()
    coded = fitted.transform(rows)
    assert coded.columns == [*rows.columns, "codes"]
    assert matrix(coded, classes, "codes").astype(np.int8).tobytes() == codes_of(expected).tobytes()
    with pytest.raises(ValueError, match="is no column 'features' of fne.spark.features"):
        embedder.fit(rows.drop("status"))


# ---- bad images


@pytest.fixture
def damaged(spark, frame, tmp_path):
    """The same frame, with a broken image and a null."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    return frame.union(spark.createDataFrame([(str(broken), 1.0), (None, 0.0)], "path string, label double"))


def test_bad_images_are_an_error(embedder, frame, damaged):
    with pytest.raises(ValueError, match=r"2 of 26 images are bad, such as for this reason: .*handleInvalid='skip'"):
        embedder.fit(damaged)
    fitted = embedder.fit(frame)
    with pytest.raises(Exception, match=r"broken\.png.*handleInvalid='skip' leaves bad images out"):
        fitted.transform(damaged.where("path is not null")).collect()


def test_bad_images_are_skipped(embedder, damaged, classes, expected):
    embedder.setHandleInvalid("skip")
    with pytest.warns(UserWarning, match="2 of 26 images are bad.*They are not in the statistics"):
        fitted = embedder.fit(damaged)
    assert fitted.statistics.to_bytes() == expected[0].to_bytes()
    found = vectors(fitted.transform(damaged))
    assert set(found) == set(classes)


def test_bad_images_are_kept(embedder, damaged, classes, expected):
    """Their vectors are NaN, which Spark's classifiers refuse."""
    from pyspark.ml.classification import LinearSVC

    embedder.setHandleInvalid("keep")
    with pytest.warns(UserWarning, match="2 of 26 images are bad"):
        fitted = embedder.fit(damaged)
    rows = fitted.transform(damaged).cache()
    bad = {row["path"]: row for row in rows.where("status != 0").collect()}
    assert len(bad) == 2 and all(np.isnan(row["features"].toArray()).all() for row in bad.values())
    assert "null" in bad[None]["reason"] and any("broken.png" in row["reason"] for row in bad.values())
    good = rows.where("status = 0")
    assert matrix(good, classes).astype(np.int8).tobytes() == codes_of(expected).tobytes()
    with pytest.raises(Exception, match="NaN"):
        LinearSVC(maxIter=1).fit(rows)
    assert LinearSVC(maxIter=1).fit(good).numFeatures == expected[0].feature_count


# ---- pipelines


@pytest.fixture(scope="module")
def mounted(spark, tmp_path_factory):
    """A folder by an address of another file system than the local one, and its path."""
    folder = tmp_path_factory.mktemp("mounted")
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    configuration.set("fs.viewfs.mounttable.cluster.link./models", folder.as_uri())
    return "viewfs://cluster/models", folder


LOADED = """
import json, sys
from clusters import spark_session
from pyspark.ml import PipelineModel
with spark_session(sys.argv[1] + "/warehouse") as spark:
    fitted = PipelineModel.load(sys.argv[1] + "/flowers")
    frame = spark.createDataFrame([(path,) for path in json.loads(sys.argv[2])], "path string")
    rows = fitted.transform(frame).collect()
    print(json.dumps({row["path"]: [row["prediction"], *row["rawPrediction"].toArray()] for row in rows}))
"""


def test_a_pipeline_is_trained_saved_and_loaded(frame, graph, classes, expected, mounted):
    """The example of docs/cluster.md, on a file system other than the local one. Another process loads it too."""
    from pyspark.ml import Pipeline

    address, folder = mounted
    (block,) = re.findall(r"^```python\n(from fne\.spark_ml .*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for shown, here in (("/shared/network.pb", str(graph)), ("size=224", "size=(48, 64)"), ("hdfs:///models", address)):
        assert shown in block
        block = block.replace(shown, here)
    names = {"labelled": frame, "images": frame}
    exec(compile(block, PAGE, "exec"), names)
    fitted, embedder = names["fitted"].stages[0], names["embedder"]
    assert fitted.statistics.to_bytes() == expected[0].to_bytes()
    rows = names["predicted"].collect()
    assert np.stack([row["features"].toArray() for row in rows]).astype(np.int8).tobytes() == (
        codes_of(expected)[[list(classes).index(row["path"]) for row in rows]].tobytes()
    )
    raw = {row["path"]: [row["prediction"], *row["rawPrediction"].toArray()] for row in rows}
    assert raw == {
        row["path"]: [row["prediction"], *row["rawPrediction"].toArray()]
        for row in names["fitted"].transform(frame).collect()
    }
    assert np.mean([values[0] == classes[path] for path, values in raw.items()]) > 0.9
    command = [sys.executable, "-c", LOADED, str(folder), json.dumps(list(classes))]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "Tests/python")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == raw
    pipeline = Pipeline(stages=[embedder])
    pipeline.write().overwrite().save(f"{address}/flowers")
    (again,) = Pipeline.load(f"{address}/flowers").getStages()
    given = [{param.name: value for param, value in stage.extractParamMap().items()} for stage in (embedder, again)]
    assert given[0] == given[1] and given[1]["size"] == list(SIZE)


def test_cross_validation(embedder, frame, expected):
    """The grid has parameters of the stage: of codes, and of the network."""
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LinearSVC
    from pyspark.ml.evaluation import BinaryClassificationEvaluator
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

    pipeline = Pipeline(stages=[embedder, LinearSVC(maxIter=2)])
    grid = ParamGridBuilder().addGrid(embedder.layers, ["last:50%", "penultimate"]).baseOn({embedder.lower: -1.0})
    validator = CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=grid.build(),
        evaluator=BinaryClassificationEvaluator(),
        numFolds=2,
        parallelism=2,
        seed=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fne.FewImagesWarning)
        found = validator.fit(frame)
    assert len(found.avgMetrics) == 2 and max(found.avgMetrics) > 0.9
    best = grid.build()[int(np.argmax(found.avgMetrics))]
    chosen = found.bestModel.stages[0]
    assert chosen.getOrDefault("lower") == -1 and chosen.getOrDefault("layers") == best[embedder.layers]


def test_fit_runs_the_network_once(spark, embedder, classes, tmp_path):
    """Each run of the network reads each image. A pipeline with a classifier reads the rows several times."""
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LinearSVC
    from pyspark.sql.functions import udf

    log = tmp_path / "reads"

    @udf("string")
    def read(path):
        with open(log, "a") as file:
            file.write("x")
        return path

    rows = spark.createDataFrame(list(classes.items()), "path string, label double").coalesce(1)
    counted = rows.withColumn("path", read("path"))
    Pipeline(stages=[embedder, LinearSVC(maxIter=2)]).fit(counted)
    assert len(log.read_text()) == len(classes)
    embedder.copy({embedder.lower: -1.0}).fit(counted)
    assert len(log.read_text()) == len(classes)
    spark_ml.clear_cache()
    embedder.fit(counted)
    assert len(log.read_text()) == 2 * len(classes)
    embedder.copy({embedder.intermediateStorageLevel: "NONE", embedder.layers: "last:50%"}).fit(counted)
    assert len(log.read_text()) == 3 * len(classes) and len(spark_ml._kept) == 1


# ---- what is refused


def test_options_after_fit_are_refused(embedder, frame):
    fitted = embedder.fit(frame)
    with pytest.raises(ValueError, match="after fit, other values were given to 'size', 'layers'|'layers', 'size'"):
        fitted.setParams(layers="penultimate", size=32).transform(frame)


def test_features_of_another_network_are_refused(embedder, frame, graph, tmp_path):
    """The file was replaced by a network with the same layers since the stage was fitted."""
    file = tmp_path / "network.pb"
    content = graph.read_bytes()
    file.write_bytes(content)
    fitted = embedder.setParams(model=file).fit(frame)
    spark_ml.clear_cache()
    file.write_bytes(content.replace(b"scores", b"scorez"))
    with pytest.raises(Exception, match="the features are of the network"):
        fitted.transform(frame).collect()
    assert fitted.transform(frame, {fitted.accept_other_engine: True}).count() == 24


def test_parameters_that_are_wrong(embedder, frame, graph):
    with pytest.raises(ValueError, match="there is no parameter 'crops'; there are .*'layers'"):
        spark_ml.FullNetworkEmbedder(crops=10)
    with pytest.raises(TypeError, match="which cannot be saved with a pipeline. Save the network to a file"):
        embedder.setParams(model=fne.Model(graph))
    with pytest.raises(TypeError, match="cannot be saved with a pipeline"):
        embedder.setParams(preset=fne.Preprocessing())
    with pytest.raises(ValueError, match="handleInvalid is 'drop'; it must be one of 'error', 'skip', 'keep'"):
        embedder.setHandleInvalid("drop")
    with pytest.raises(ValueError, match="intermediateStorageLevel is 'FAST'"):
        embedder.setParams(intermediateStorageLevel="FAST")
    with pytest.raises(ValueError, match="there is no column 'file'"):
        embedder.copy().setInputCol("file").fit(frame)
    with pytest.raises(ValueError, match="has a column 'label' already"):
        embedder.copy().setOutputCol("label").fit(frame)


def test_every_option_is_a_parameter():
    """New options of an extractor become parameters too, or are named here."""
    others = {"crops", "image_options", "pad_batches"}
    assert {*spark_ml.OPTIONS} == {*ExtractorOptions.__annotations__} - others
