"""Ray and Spark on this machine beside `fne embed` and shards with a merge, on the same images in one run.

    .venv/bin/python Benchmarks/clusters.py [--images 3400] [--rounds 5] [--assets FOLDER] [--quick]

It takes the default network, and photographs that are cut from the samples. With --assets it takes the photographs
below FOLDER/images and two networks of FOLDER/models: the fastest, which shows most of what the engines cost, and
MobileNet V2 at 224 with half of the images. What is not installed is left out.

- fne embed: features, statistics and packed codes in a folder. Cold is the command from its start to its end, warm is
  a job in a process that has run one.
- shards and a merge: a command for each processor at the same time, and `fne merge`.
- two steps: features, statistics of all images, packed codes in Parquet files
- one pass: statistics of a tenth of the images, then packed codes in Parquet files
- no network: the tables of two steps with zeros in them, twice through a worker. So much does the engine take at least.

Cold is the first run of an engine's new session, whose start counts. Warm runs take turns with each other, after a
round that is left out, since Spark's JVM still compiles its own code in the first seconds. Ratios are
medians of the rounds' ratios to a warm job, of time and of the processor time of all processes, which a busy machine
disturbs less. Memory is the most that a worker had resident while the plan ran, without pages that processes share.
Each plan's codes and statistics are compared with those of one process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from figures import figure, left_out, ratios, taking_turns
from networks import photographs
from progress import progress
from settings import parse, parser

import fne

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ.update(RAY_worker_niceness="0")  # as the others: by default Ray's workers wait for what else runs

SAMPLED = 0.1
PARTITIONS = 8
EMBED = "fne embed"
#: What stands in the command lines of workers.
WORKERS = {"Ray": b"ray::", "Spark": b"pyspark.daemon"}


class Task(NamedTuple):
    """What all plans do."""

    images: Path
    model: str
    options: dict[str, Any]
    workers: int

    @property
    def paths(self) -> list[str]:
        return sorted(map(str, self.images.iterdir()))

    def command(self, *arguments: Any) -> None:
        """Runs a command of fne, or several at the same time: a list of lists."""
        lines = arguments[0] if isinstance(arguments[0], list) else [arguments]
        start = [sys.executable, "-m", "fne"]
        running = [subprocess.Popen([*start, *map(str, line), "--quiet"], stdout=subprocess.DEVNULL) for line in lines]
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit("a command of fne failed")

    def embed(self, output: Path, *more: Any) -> tuple[Any, ...]:
        given = [part for name, value in self.options.items() for part in (f"--{name}", value)]
        return ("embed", self.images, self.model, output, "--codes", "packed", *given, *more)


# ---- what plans take


def _status(process: int) -> dict[str, str]:
    with open(f"/proc/{process}/status") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def _resident(process: int) -> int:
    """Bytes that belong to the process alone, and of files."""
    facts = _status(process)
    sizes = [int(facts.get(name, "0 kB").split()[0]) for name in ("VmRSS", "RssShmem")]
    return (sizes[0] - sizes[1]) * 1024


def _seconds(process: int) -> float:
    """The processor time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family() -> dict[int, int]:
    """This process and those below it, with their parents."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, KeyError, ValueError):
                parents[int(entry.name)] = int(_status(int(entry.name))["PPid"])
    found = {os.getpid(): 0}
    for process in parents:
        above: int | None = process
        while above is not None and above != os.getpid():
            above = parents.get(above)
        if above is not None and process != os.getpid():
            found[process] = parents[process]
    return found


class Watch:
    """Looks at this process and those below it while the block runs.

    peak: the most memory that a worker has resident, in bytes
    seconds: the processor time of all, after the block
    """

    def __init__(self, worker: bytes) -> None:
        """worker: what stands in a worker's command line"""
        self.peak, self.seconds = 0, 0.0
        self._worker, self._ends = worker, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._before = self._times(_family())
        self._last: dict[int, float] = {}
        self._direct: set[int] = set()
        self._reaped = self._children()

    @staticmethod
    def _times(family: dict[int, int]) -> dict[int, float]:
        found = {}
        for process in family:
            with contextlib.suppress(OSError):
                found[process] = _seconds(process)
        return found

    @staticmethod
    def _children() -> float:
        """The processor time of children that have ended and were waited for."""
        times = os.times()
        return times.children_user + times.children_system

    def _is_worker(self, process: int) -> bool:
        return self._worker in Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ")

    def _look(self) -> None:
        workers: list[int] = []
        turn = 0
        while not self._ends.wait(0.2):
            if turn % 5 == 0:  # this takes longer than to look at the workers
                family = _family()
                self._last |= self._times(family)
                self._direct |= {process for process, parent in family.items() if parent == os.getpid()}
                workers = []
                for process in family:
                    with contextlib.suppress(OSError):
                        workers += [process] if self._is_worker(process) else []
            turn += 1
            for process in workers:
                with contextlib.suppress(OSError, ValueError):
                    self.peak = max(self.peak, _resident(process))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ends.set()
        self._thread.join()
        family = _family()
        seen = self._last | self._times(family)
        # What this process waited for is counted by the system. Of what others waited for, the last look counts.
        waited = self._direct - set(family)
        taken = sum(time - self._before.get(process, 0) for process, time in seen.items() if process not in waited)
        self.seconds = taken + self._children() - self._reaped


# ---- plans


class Result(NamedTuple):
    """What a plan gave: its statistics, and a call that gives its codes by path. None: there are none to compare."""

    statistics: fne.Statistics | None
    codes: Callable[[], dict[str, Any]] | None


Plan = Callable[[Path], Result]
NOTHING = Result(None, None)


def one_process(task: Task) -> Plan:
    def run(folder: Path) -> Result:
        fne.embed_dataset(task.images, task.model, folder, codes="packed", **task.options)
        return NOTHING

    return run


def one_command(task: Task) -> Plan:
    def run(folder: Path) -> Result:
        task.command(*task.embed(folder))
        return NOTHING

    return run


def shards(task: Task) -> Plan:
    def run(folder: Path) -> Result:
        parts = [folder / str(number) for number in range(task.workers)]
        own = ("--streams", 1, "--loader-threads", 1)
        task.command(
            [task.embed(part, "--shard", f"{number}/{task.workers}", *own) for number, part in enumerate(parts)]
        )
        task.command("merge", folder / "whole", *parts)
        job = fne.Job(folder / "whole")
        words = job.packed_codes().words
        return Result(job.statistics(), lambda: dict(zip(task.paths, words.reshape(len(words), -1), strict=True)))

    return run


def _packed(rows: dict[str, Any], features: int) -> dict[str, Any]:
    words = fne.PackedCodes.from_bytes(list(rows.values()), features).words
    return dict(zip(rows, words.reshape(len(words), -1), strict=True))


class Ray:
    """A session of Ray and its plans."""

    name = "Ray"

    def __init__(self, task: Task, features: int, folder: Path) -> None:
        import ray

        import fne.ray

        self.task, self.features, self.ray, self.fne = task, features, ray, fne.ray
        ray.init("local", num_cpus=task.workers, include_dashboard=False, log_to_driver=False, logging_level="error")
        ray.data.DataContext.get_current().enable_progress_bars = False

    def _images(self) -> Any:
        items = [{"path": path} for path in self.task.paths]
        return self.ray.data.from_items(items, override_num_blocks=PARTITIONS)

    def _read(self, folder: Path, column: str) -> dict[str, Any]:
        return {row["path"]: row[column] for row in self.ray.data.read_parquet(str(folder)).take_all()}

    def two_steps(self, folder: Path) -> Result:
        rows = self.fne.features(self._images(), self.task.model, **self.task.options).materialize()
        found = self.fne.statistics(rows)
        self.fne.codes(rows, found, packed=True).write_parquet(str(folder))
        return Result(found, lambda: _packed(self._read(folder, "packed"), self.features))

    def one_pass(self, folder: Path) -> Result:
        images = self._images()
        found = self.fne.statistics_of_sample(images, self.task.model, fraction=SAMPLED, **self.task.options)
        self.fne.embed(images, self.task.model, found, **self.task.options).write_parquet(str(folder))
        return Result(found, lambda: _packed(self._read(folder, "packed"), self.features))

    def no_network(self, folder: Path) -> Result:
        features = self.features

        def with_zeros(table: Any) -> Any:
            from ray.data.extensions import ArrowTensorArray

            zeros = np.zeros((len(table), features), np.float32)
            return table.append_column("features", ArrowTensorArray.from_numpy(zeros))

        def with_codes(table: Any) -> Any:
            codes = pyarrow.array([bytes(features // 4)] * len(table))
            return table.drop_columns(["features"]).append_column("packed", codes)

        at_once = {"batch_size": 128, "batch_format": "pyarrow"}
        rows = self._images().map_batches(with_zeros, **at_once).materialize()
        rows.map_batches(with_codes, **at_once).write_parquet(str(folder))
        return NOTHING

    def close(self) -> None:
        self.ray.shutdown()


class Spark:
    """A session of Spark and its plans."""

    name = "Spark"

    def __init__(self, task: Task, features: int, folder: Path) -> None:
        from pyspark.sql import SparkSession

        import fne.spark

        self.task, self.features, self.fne = task, features, fne.spark
        self.spark = (
            SparkSession.builder.master(f"local[{task.workers}]")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.driver.memory", "2g")
            .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
            .getOrCreate()
        )
        self.spark.sparkContext.setLogLevel("OFF")

    def _images(self) -> Any:
        return self.spark.createDataFrame([(path,) for path in self.task.paths], "path string").repartition(PARTITIONS)

    def _read(self, folder: Path, column: str) -> dict[str, Any]:
        return {row["path"]: row[column] for row in self.spark.read.parquet(str(folder)).collect()}

    def two_steps(self, folder: Path) -> Result:
        rows = self.fne.features(self._images(), self.task.model, **self.task.options).cache()
        found = self.fne.statistics(rows)
        self.fne.codes(rows, found, packed=True).write.parquet(str(folder))
        rows.unpersist()
        return Result(found, lambda: _packed(self._read(folder, "packed"), self.features))

    def one_pass(self, folder: Path) -> Result:
        images = self._images()
        found = self.fne.statistics_of_sample(images, self.task.model, fraction=SAMPLED, **self.task.options)
        self.fne.embed(images, self.task.model, found, **self.task.options).write.parquet(str(folder))
        return Result(found, lambda: _packed(self._read(folder, "packed"), self.features))

    def no_network(self, folder: Path) -> Result:
        features = self.features

        def with_zeros(batches: Any) -> Any:
            for batch in batches:
                zeros = pyarrow.array(np.zeros(len(batch) * features, np.float32))
                offsets = pyarrow.array(np.arange(len(batch) + 1, dtype=np.int32) * features)
                lists = pyarrow.ListArray.from_arrays(offsets, zeros)
                yield pyarrow.RecordBatch.from_arrays([batch.column("path"), lists], ["path", "features"])

        def with_codes(batches: Any) -> Any:
            for batch in batches:
                codes = pyarrow.array([bytes(features // 4)] * len(batch))
                yield pyarrow.RecordBatch.from_arrays([batch.column("path"), codes], ["path", "packed"])

        rows = self._images().mapInArrow(with_zeros, "path string, features array<float>").cache()
        rows.count()
        rows.mapInArrow(with_codes, "path string, packed binary").write.parquet(str(folder))
        rows.unpersist()
        return NOTHING

    def close(self) -> None:
        self.spark.stop()


# ---- the table


class Row(NamedTuple):
    """A line of the table. Seconds and bytes."""

    title: str
    cold: float | None
    warm: list[float]
    processor: list[float]
    peak: int
    same: bool


def is_same(result: Result, job: fne.Job, paths: list[str], statistics_differ: bool) -> bool:
    """Whether a plan gave the bytes of one process."""
    if result.statistics is None or result.codes is None:
        return True
    if not statistics_differ and result.statistics.to_bytes() != job.statistics().to_bytes():
        return False
    expected = fne.ternarize(np.asarray(job.features()), result.statistics.mean(), result.statistics.std())
    packed = fne.PackedCodes.pack(expected).words.reshape(len(expected), -1)
    found = result.codes()
    return set(found) == set(paths) and all(
        np.array_equal(found[path], packed[number]) for number, path in enumerate(paths)
    )


class Taken(NamedTuple):
    """What a plan took: seconds, processor seconds of all processes, and the most memory of a worker in bytes."""

    seconds: float
    processor: float
    peak: int


def timed(title: str, plan: Plan, folder: Path) -> tuple[Taken, Result]:
    with Watch(WORKERS.get(title.split(",")[0], b"-m fne ")) as watch:
        start = time.perf_counter()
        result = plan(folder)
        seconds = time.perf_counter() - start
    return Taken(seconds, watch.seconds, watch.peak), result


def measured(task: Task, rounds: int, folder: Path) -> list[Row]:
    """The rows. The first is the job of one process, which is compared with the command's cold run."""
    job = fne.embed_dataset(task.images, task.model, folder / "reference", codes="packed", **task.options)
    plans: dict[str, Plan] = {}
    cold: dict[str, float] = {}
    peaks: dict[str, int] = {}
    for title, plan in ((EMBED, one_command(task)), ("shards and a merge", shards(task))):
        taken, _ = timed(title, plan, folder / f"cold {title}")
        cold[title], peaks[title] = taken.seconds, taken.peak
    plans[EMBED], plans["shards and a merge"] = one_process(task), shards(task)
    engines: list[Ray | Spark] = []
    for kind, package in ((Ray, "ray"), (Spark, "pyspark")):
        if importlib.util.find_spec(package) is None:
            left_out(kind.name, f"{package} is not installed; make extras")
            continue
        start = time.perf_counter()
        engines.append(kind(task, job.feature_count, folder))
        begun = time.perf_counter() - start
        steps = {"two steps": engines[-1].two_steps, "one pass": engines[-1].one_pass}
        for name, plan in {**steps, "no network": engines[-1].no_network}.items():
            title = f"{kind.name}, {name}"
            plans[title] = plan
            taken, _ = timed(title, plan, folder / f"cold {title}")
            peaks[title] = taken.peak
            if name == "two steps":  # the first run of the session
                cold[title] = begun + taken.seconds
    rows = {title: Row(title, cold.get(title), [], [], peaks[title], True) for title in plans}
    begin, turn = progress.rounds("warm workers", rounds), 0

    def begun_round(number: int) -> None:
        nonlocal turn
        turn = number
        begin(number)

    def warm(title: str) -> Taken:
        output = folder / f"{turn} {title}"
        taken, result = timed(title, plans[title], output)
        row = rows[title]
        same = row.same and is_same(result, job, task.paths, "one pass" in title)
        rows[title] = row._replace(peak=max(row.peak, taken.peak), same=same)
        shutil.rmtree(output)
        return taken

    found = taking_turns({title: partial(warm, title) for title in plans}, rounds, 1, begun_round)
    for title, runs in found.items():
        rows[title].warm.extend(taken.seconds for taken in runs)
        rows[title].processor.extend(taken.processor for taken in runs)
    for engine in engines:
        engine.close()
    return list(rows.values())


def report(rows: list[Row], images: int, network: str) -> None:
    print(
        "| plan | cold, images/s | warm, images/s | of `fne embed` | by processor time | memory of a worker | bytes |"
    )
    print("|---|---|---|---|---|---|---|")
    own = rows[0]
    for row in rows:
        name = f"{network}: {row.title}"
        cells = [
            row.title,
            figure(f"{name}, cold", "images/s", images / row.cold, 0) if row.cold else "",
            figure(f"{name}, warm", "images/s", [images / each for each in row.warm], 0),
            figure(f"{name}, of fne embed's speed", "ratio", ratios(own.warm, row.warm)),
            figure(f"{name}, of its processor time", "ratio", ratios(own.processor, row.processor)),
            figure(f"{name}, memory of a worker", "GB", row.peak / 1e9) + " GB",
            "same" if row.same else "DIFFERENT",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def networks(assets: Path | None) -> list[tuple[str, dict[str, Any], int]]:
    """The networks, the options of each, and by what the number of images is divided."""
    if assets is None:
        return [(str(fne.zoo.efficientnet_lite0()), {"size": 224}, 1)]
    inception = {"preset": "inception"}
    return [
        (str(assets / "models/mobilenet_v1_0.25_128.pb"), {"size": 128, **inception}, 1),
        (str(assets / "models/mobilenet_v2_1.0_224.pb"), {"size": 224, **inception}, 2),
    ]


def main() -> None:
    options_known = parser(__doc__)
    options_known.add_argument("--images", type=int, help="3400, and 400 with --quick")
    options_known.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parse(options_known)
    images = given.images or (400 if given.quick else 3400)
    progress.plan(given.rounds * len(networks(given.assets)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cut").mkdir()
        (folder / "images").mkdir()
        sources = photographs(given.assets, folder / "cut")
        for number in range(images):
            shutil.copy(sources[number % len(sources)], folder / "images" / f"{number:06d}.jpg")
        for model, options, share in networks(given.assets):
            part = folder / Path(model).stem
            shutil.copytree(folder / "images", part / "images")
            for path in sorted((part / "images").iterdir())[images // share :]:
                path.unlink()
            task = Task(part / "images", model, options, given.workers)
            name = Path(model).stem
            print(f"\n{images // share} photographs, {name}, {given.workers} workers", flush=True)
            report(measured(task, given.rounds, part), images // share, name)


if __name__ == "__main__":
    main()
