"""Columns of tensors that Ray writes as Parquet: Ray reads them with their shapes, pandas and Arrow without Ray."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from clusters import of_paths, ray_session

import fne

SIZE = (48, 64)
# As docs/cluster.md says it. No part of it imports Ray.
WITHOUT_RAY = """
import sys
import numpy, pandas, pyarrow.parquet
folder = sys.argv[1]
frame = pandas.read_parquet(folder + "/crops").sort_values("path")
numpy.save(folder + "/pandas.npy", numpy.stack(frame["features"]).reshape(len(frame), 10, -1))
table = pyarrow.parquet.read_table(folder + "/codes").sort_by("path")
codes = table["codes"].combine_chunks()
numpy.save(folder + "/arrow.npy", codes.flatten().to_numpy().reshape(len(codes), -1))
assert "ray" not in sys.modules
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory, graph, photographs):
    """A folder with features of ten crops, and with codes of one, as Ray writes them."""
    import fne.ray

    folder = tmp_path_factory.mktemp("parquet")
    paths = [str(path) for path in photographs[:12]]
    shapes = []
    with ray_session() as ray:
        crops = fne.ray.features(of_paths(ray, paths[:5], paths[5:]), graph, size=SIZE, crops=10)
        crops.write_parquet(str(folder / "crops"))
        rows = fne.ray.features(of_paths(ray, paths[:5], paths[5:]), graph, size=SIZE).materialize()
        fne.ray.codes(rows, fne.ray.statistics(rows)).write_parquet(str(folder / "codes"))
        for name, column in (("crops", "features"), ("codes", "codes")):
            dataset = ray.data.read_parquet(str(folder / name))
            schema = dataset.schema()
            shapes.append(schema.types[schema.names.index(column)].shape)
            batch = dataset.take_batch(100, batch_format="numpy")
            np.save(folder / f"{name}.npy", batch[column][np.argsort(batch["path"])])
    return folder, shapes


@pytest.fixture(scope="module")
def expected(graph, photographs):
    """The features of ten crops, and the codes, of one process, in the order of the paths."""
    paths = sorted(str(path) for path in photographs[:12])
    found = []
    for crops in (10, 1):
        with fne.Extractor(graph, size=SIZE, crops=crops, pad_batches=True, streams=1) as extractor:
            found.append(extractor.extract(paths).features)
    crops, rows = found
    statistics = fne.Statistics(rows.shape[1]).update(rows)
    return crops.reshape(12, 10, -1), fne.ternarize(rows, statistics.mean(), statistics.std())


def test_ray_keeps_the_shapes(written, expected):
    folder, shapes = written
    assert shapes == [array.shape[1:] for array in expected]
    np.testing.assert_array_equal(np.load(folder / "crops.npy"), expected[0])
    np.testing.assert_array_equal(np.load(folder / "codes.npy"), expected[1])


def test_pandas_and_arrow_read_them(written, expected):
    folder, _ = written
    result = subprocess.run([sys.executable, "-c", WITHOUT_RAY, folder], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = np.load(folder / "pandas.npy"), np.load(folder / "arrow.npy")
    for array, wanted in zip(found, expected, strict=True):
        assert array.dtype == wanted.dtype
        np.testing.assert_array_equal(array, wanted)
