"""Embeds photographs with Ray Data, and compares that with one process.

    make extras
    .venv/bin/python examples/distributed/with_ray.py FOLDER MODEL OUTPUT [--size 224] [--workers 2]

On a cluster, use `ray.init(address="auto")` and paths that all its machines can read. OUTPUT/codes receives Parquet
files with the columns path, status, reason and codes. OUTPUT/statistics.fne receives the exact statistics, which a
test set's codes need.
"""

from __future__ import annotations

import time

import ray
import ray.data
from common import task

import fne.ray


def main() -> None:
    given = task(__doc__)
    ray.init(num_cpus=given.workers + 1, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    start = time.perf_counter()
    first, *others = [
        ray.data.from_items([{"path": path} for path in part], override_num_blocks=2) for part in given.parts()
    ]
    paths = first.union(*others)
    rows = fne.ray.features(paths, given.model, size=given.size, concurrency=given.workers).materialize()
    embedded = time.perf_counter() - start
    statistics = fne.ray.statistics(rows)
    (given.output / "statistics.fne").write_bytes(statistics.to_bytes())
    fne.ray.codes(rows, statistics).write_parquet(str(given.output / "codes"))
    seconds = time.perf_counter() - start
    written = ray.data.read_parquet(str(given.output / "codes")).take_all()
    given.compare("Ray", seconds, embedded, statistics, {row["path"]: row["codes"] for row in written})


if __name__ == "__main__":
    main()
