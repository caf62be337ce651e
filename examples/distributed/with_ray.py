"""Embeds photographs with Ray Data, and compares it with one process.

    make extras
    .venv/bin/python examples/distributed/with_ray.py FOLDER MODEL OUTPUT [--size 224] [--workers 2]

On a cluster, `ray.init(address="auto")` and paths that all its machines can read. OUTPUT/codes receives Parquet files with the
columns path, status, reason and codes; OUTPUT/statistics.fne the exact statistics, for a test set's codes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy
import ray
import ray.data

import fne
import fne.ray


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

    ray.init(num_cpus=given.workers + 1, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    start = time.perf_counter()
    # Parts of unequal size, as they come in practice.
    cuts = [0, len(paths) // 5, len(paths) // 2, len(paths)]
    parts = [[{"path": path} for path in paths[a:b]] for a, b in zip(cuts, cuts[1:], strict=False)]
    first, *others = [ray.data.from_items(part, override_num_blocks=2) for part in parts]
    rows = fne.ray.features(first.union(*others), given.model, size=size, concurrency=given.workers).materialize()
    embedded = time.perf_counter() - start
    statistics = fne.ray.statistics(rows)
    (given.output / "statistics.fne").write_bytes(statistics.to_bytes())
    fne.ray.codes(rows, statistics).write_parquet(str(given.output / "codes"))
    seconds = time.perf_counter() - start

    coded = {row["path"]: row for row in ray.data.read_parquet(str(given.output / "codes")).take_all()}
    same = all(numpy.array_equal(coded[path]["codes"], job.codes(images=[i])[0]) for i, path in enumerate(paths))
    print(f"one process  {len(paths) / alone:7.1f} images/s, {alone:.1f} s with its start")
    print(
        f"Ray          {len(paths) / seconds:7.1f} images/s, {seconds:.1f} s, of which {embedded:.1f} s to the features"
    )
    print(f"statistics   {'the same bytes' if statistics.to_bytes() == job.statistics().to_bytes() else 'DIFFERENT'}")
    print(f"codes        {'the same' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
