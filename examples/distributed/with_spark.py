"""Embeds photographs with Apache Spark, and compares it with one process.

    make extras
    .venv/bin/python examples/distributed/with_spark.py FOLDER MODEL OUTPUT [--size 224] [--workers 2]

On a cluster, `spark-submit` with PYSPARK_PYTHON set to a Python that has `fne` on every machine, and paths that all of them can
read. OUTPUT/codes receives Parquet files with the columns path, status, reason and codes; OUTPUT/statistics.fne the exact
statistics, for a test set's codes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy
from pyspark.sql import SparkSession

import fne
import fne.spark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    size = (given.size, given.size)

    start = time.perf_counter()
    job = fne.embed_dataset(given.folder, given.model, given.output / "job", size=size, progress=True)
    alone = time.perf_counter() - start
    paths = [str(given.folder / name) for name in job.names]

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = SparkSession.builder.master(f"local[{given.workers}]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    start = time.perf_counter()
    # Parts of unequal size, as they come in practice.
    cuts = [0, len(paths) // 5, len(paths) // 2, len(paths)]
    parts = [paths[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    partitions = session.sparkContext.parallelize(parts, len(parts)).flatMap(lambda part: [(path,) for path in part])
    rows = fne.spark.features(partitions.toDF(["path"]), given.model, size=size).cache()
    rows.count()
    embedded = time.perf_counter() - start
    statistics = fne.spark.statistics(rows)
    (given.output / "statistics.fne").write_bytes(statistics.to_bytes())
    fne.spark.codes(rows, statistics).write.mode("overwrite").parquet(str(given.output / "codes"))
    seconds = time.perf_counter() - start

    coded = {row["path"]: row for row in session.read.parquet(str(given.output / "codes")).collect()}
    same = all(numpy.array_equal(coded[path]["codes"], job.codes(images=[i])[0]) for i, path in enumerate(paths))
    print(f"one process  {len(paths) / alone:7.1f} images/s, {alone:.1f} s with its start")
    print(
        f"Spark        {len(paths) / seconds:7.1f} images/s, {seconds:.1f} s, of which {embedded:.1f} s to the features"
    )
    print(f"statistics   {'the same bytes' if statistics.to_bytes() == job.statistics().to_bytes() else 'DIFFERENT'}")
    print(f"codes        {'the same' if same else 'DIFFERENT'}")
    session.stop()


if __name__ == "__main__":
    main()
