"""Embeds photographs with Dask, and compares that with one process.

    make extras
    .venv/bin/python examples/distributed/with_dask.py FOLDER MODEL OUTPUT [--size 224] [--workers 2]

On a cluster, connect the client with its address, and use paths that all machines can read. OUTPUT/codes receives
Parquet files with the columns path, status, reason and packed, which `fne.PackedCodes.from_bytes` reads.
OUTPUT/statistics.fne receives the exact statistics, which a test set's codes need.
"""

from __future__ import annotations

import time
from typing import Any

import dask
import dask.dataframe
import numpy
import pandas
import pyarrow
from common import task
from distributed import Client, WorkerPlugin, get_worker

import fne

#: What `map_partitions` makes, without rows.
FEATURES = {"path": "object", "status": "int32", "reason": "object", "features": "object"}
CODES = {"path": "object", "status": "int32", "reason": "object", "packed": "object"}


class Extractors(WorkerPlugin):  # type: ignore[misc]
    """Holds an extractor in each worker. It is opened once, and serves all tasks."""

    name = "fne"

    def __init__(self, model: str, size: tuple[int, int]) -> None:
        self.model, self.size = model, size

    def setup(self, worker: Any) -> None:
        # Full batches give the bits of one process. A worker has one thread, so its extractor takes one.
        self.extractor = fne.Extractor(
            self.model, size=self.size, pad_batches=True, on_error="skip", streams=1, loader_threads=1
        )

    def teardown(self, worker: Any) -> None:
        self.extractor.close()


def features(part: pandas.DataFrame) -> pandas.DataFrame:
    """The features of a partition's images, with a status and a reason for each."""
    extraction = get_worker().plugins["fne"].extractor.extract(list(part["path"]))
    reasons = [extraction.reasons.get(number, "") for number in range(len(part))]
    return part.assign(status=extraction.statuses, reason=reasons, features=list(extraction.features))


def statistics_of(part: pandas.DataFrame) -> fne.Statistics | None:
    """The exact statistics of a partition's good images."""
    good = part["features"][part["status"] == 0]
    return fne.Statistics(len(good.iloc[0])).update(numpy.stack(list(good))) if len(good) else None


def merged(parts: list[fne.Statistics | None]) -> fne.Statistics:
    """The order does not matter, as the sums are exact."""
    first, *others = [part for part in parts if part is not None]
    for other in others:
        first.merge(other)
    return first


def codes(part: pandas.DataFrame, mean: Any, std: Any) -> pandas.DataFrame:
    """The packed codes of a partition, as bytes. They are missing where an image is bad."""
    good = part["status"] == 0
    packed = pandas.Series([None] * len(part), part.index, dtype=object)
    if good.any():
        words = fne.PackedCodes.pack(fne.ternarize(numpy.stack(list(part["features"][good])), mean, std)).words
        packed[good] = [row.astype("<u8").tobytes() for row in words]
    return part.drop(columns="features").assign(packed=packed)


def main() -> None:
    given = task(__doc__)
    client = Client(n_workers=given.workers, threads_per_worker=1, dashboard_address=None)
    dask.config.set({"dataframe.convert-string": False})  # images may be bytes, too
    start = time.perf_counter()
    client.register_plugin(Extractors(given.model, given.size))
    parts = [dask.dataframe.from_pandas(pandas.DataFrame({"path": part}), npartitions=2) for part in given.parts()]
    rows = dask.dataframe.concat(parts).map_partitions(features, meta=FEATURES).persist()
    statistics = merged(list(dask.compute(*[dask.delayed(statistics_of)(part) for part in rows.to_delayed()])))
    embedded = time.perf_counter() - start
    (given.output / "statistics.fne").write_bytes(statistics.to_bytes())
    coded = rows.map_partitions(codes, statistics.mean(), statistics.std(), meta=CODES)
    schema = {"path": pyarrow.string(), "reason": pyarrow.string(), "packed": pyarrow.binary()}
    coded.to_parquet(given.output / "codes", schema=schema)
    seconds = time.perf_counter() - start
    written = pandas.read_parquet(given.output / "codes")
    unpacked = fne.PackedCodes.from_bytes(written["packed"], statistics.feature_count).unpack()
    unpacked[written["status"] != 0] = fne.SKIPPED_CODE
    given.compare("Dask", seconds, embedded, statistics, dict(zip(written["path"], unpacked, strict=True)))
    client.close()


if __name__ == "__main__":
    main()
