"""The examples for Ray, Spark and Dask, each on two workers: the bits of one process, also with a bad image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pandas
import pytest
from conftest import ROOT

import fne


@pytest.mark.parametrize("name", ["ray", "spark", "dask"])
def test_the_example(tmp_path, photographs, lite0, name):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in photographs[:14]:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(photographs[0].read_bytes()[:500])
    command = [ROOT / f"examples/distributed/with_{name}.py", folder, lite0, tmp_path]
    environment = dict(os.environ, DASK_TEMPORARY_DIRECTORY=str(tmp_path), SPARK_LOCAL_DIRS=str(tmp_path))
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    told = dict(line.split(None, 1) for line in result.stdout.splitlines())
    assert told["statistics"] == "the same bytes" and told["codes"] == "the same", result.stdout
    job = fne.Job(tmp_path / "job")
    assert (tmp_path / "statistics.fne").read_bytes() == job.statistics().to_bytes()
    rows = pandas.read_parquet(tmp_path / "codes").set_index("path")
    bad = rows.loc[str(folder / "broken.jpg")]
    assert len(rows) == 15 and bad["status"] and "truncated" in bad["reason"]
