"""The stages for Spark's pipelines: the bits of one process, in vectors, saved and loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from clusters import frame_of, spark_session

import fne
from fne import spark_ml
from fne._options import ExtractorOptions

SIZE = (48, 64)
BROKEN = "a broken photograph"


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
    return spark.createDataFrame(spark.sparkContext.parallelize(rows, 3), "path string, label double")


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


def test_one(embedder, frame, classes, expected):
    statistics, features = expected
    fitted = embedder.fit(frame)
    assert fitted.statistics.to_bytes() == statistics.to_bytes()
    codes = fne.ternarize(features, statistics.mean(), statistics.std())
    rows = fitted.transform(frame)
    rows.printSchema()
    assert matrix(rows, classes).astype(np.int8).tobytes() == codes.tobytes()
