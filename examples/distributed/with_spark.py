"""Embeds photographs with Apache Spark, and compares that with one process.

    make extras
    .venv/bin/python examples/distributed/with_spark.py FOLDER MODEL OUTPUT [--size 224] [--workers 2]

On a cluster, use `spark-submit`, with PYSPARK_PYTHON set to a Python that has `fne` on every machine, and paths that
all machines can read. OUTPUT/codes receives Parquet files with the columns path, status, reason and codes.
OUTPUT/statistics.fne receives the exact statistics, which a test set's codes need.
"""

from __future__ import annotations

import os
import sys
import time

from common import task
from pyspark.sql import SparkSession

import fne.spark


def main() -> None:
    given = task(__doc__)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = SparkSession.builder.master(f"local[{given.workers}]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    start = time.perf_counter()
    parts = given.parts()
    paths = session.sparkContext.parallelize(parts, len(parts)).flatMap(lambda part: [(path,) for path in part])
    rows = fne.spark.features(paths.toDF(["path"]), given.model, size=given.size).cache()
    rows.count()
    embedded = time.perf_counter() - start
    statistics = fne.spark.statistics(rows)
    (given.output / "statistics.fne").write_bytes(statistics.to_bytes())
    fne.spark.codes(rows, statistics).write.mode("overwrite").parquet(str(given.output / "codes"))
    seconds = time.perf_counter() - start
    written = session.read.parquet(str(given.output / "codes")).collect()
    given.compare("Spark", seconds, embedded, statistics, {row["path"]: row["codes"] for row in written})
    session.stop()


if __name__ == "__main__":
    main()
