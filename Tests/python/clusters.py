"""Ray and Spark on this machine, with two processors, for tests. Ray believes in a GPU, which nothing uses."""

from __future__ import annotations

import contextlib
import os
import sys


@contextlib.contextmanager
def ray_session():
    import ray
    import ray.data

    ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        yield ray
    finally:
        ray.shutdown()


def of_paths(ray, *groups):
    """A data set with a block for each group of paths."""
    first, *others = [
        ray.data.from_items([{"path": path} for path in group], override_num_blocks=1) for group in groups
    ]
    return first.union(*others) if others else first


@contextlib.contextmanager
def spark_session(warehouse):
    from pyspark.sql import SparkSession

    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")  # it lives for a minute
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "5")
        .config("spark.sql.warehouse.dir", str(warehouse))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    try:
        yield session
    finally:
        session.stop()
        if before is None:
            del os.environ["PYSPARK_PYTHON"]
        else:
            os.environ["PYSPARK_PYTHON"] = before


def frame_of(spark, *groups):
    """A frame with a partition for each group of paths."""
    parts = spark.sparkContext.parallelize(groups, len(groups))
    return spark.createDataFrame(parts.flatMap(lambda part: [(path,) for path in part]), "path string")
