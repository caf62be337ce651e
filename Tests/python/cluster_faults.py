"""Faults on Ray and Spark, each with two machines of one processor that are processes here: what a run ends with.

    .venv/bin/python Tests/python/cluster_faults.py [--engine ray] [--fault killed-worker]

It prints a table. "bytes equal" means that the statistics, the codes of two steps and the packed codes of one pass are
those of one process. Rows with reasons are bad images' rows, and all others' bytes are equal. An error is what the
caller gets. The workers that are killed or stopped are those that hold the network in that moment.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.update(RAY_worker_niceness="0")  # by default Ray's workers starve on a busy machine

import numpy as np

import fne

SIZE = (48, 64)
MISSING = "/no/such/folder/image.jpg"
NO_ENGINE = {"FNE_TENSORFLOW": "/no/such/folder"}
OTHER_SETTINGS = {"TF_ENABLE_ONEDNN_OPTS": "0"}


class Data(NamedTuple):
    """The network, and the job of one process over the images."""

    graph: Path
    job: fne.Job
    paths: list[str]


class Outcome(NamedTuple):
    """What a run gave.

    statistics: of all images
    codes: int8, by path
    packed: bytes or None, by path
    reasons: of bad images, by path
    """

    statistics: fne.Statistics
    codes: dict[str, Any]
    packed: dict[str, bytes | None]
    reasons: dict[str, str]


def prepared(folder: Path, photographs: list[Path], graph: Path, count: int) -> Data:
    """So many images, one of which is broken, and the job of one process."""
    images = folder / "images"
    images.mkdir()
    for number in range(count):
        shutil.copy(photographs[number % len(photographs)], images / f"{number:04d}.jpg")
    (images / "0003.jpg").write_bytes(photographs[0].read_bytes()[:1000])
    job = fne.embed_dataset(images, graph, folder / "job", size=SIZE, codes=["int8", "packed"], streams=1)
    return Data(graph, job, [str(path) for path in sorted(images.iterdir())])


def verdict(found: Outcome, data: Data) -> str:
    """What is the same as in one process."""
    words = data.job.packed_codes().words
    wrong = []
    if found.statistics.to_bytes() != data.job.statistics().to_bytes():
        wrong.append("statistics")
    for name, values in (("codes", found.codes), ("packed", found.packed)):
        if not set(data.paths) <= set(values):
            wrong.append(f"paths of {name}")
    good = [number for number, status in enumerate(data.job.statuses) if status == 0]
    if not all(np.array_equal(found.codes.get(data.paths[n]), data.job.codes(images=[n])[0]) for n in good):
        wrong.append("codes")
    if not all(found.packed.get(data.paths[n]) == words[n].astype("<u8").tobytes() for n in good):
        wrong.append("packed codes")
    if wrong:
        return f"DIFFERENT: {', '.join(wrong)}"
    others = {reason for path, reason in found.reasons.items() if path not in data.paths}
    return "bytes equal" + (f"; {len(others)} kinds of bad rows with reasons" if others else "")


# ---- processes


def descendants() -> list[tuple[int, str]]:
    """The processes below this one, with their command lines."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                text = Path(f"/proc/{entry.name}/stat").read_text()
                parents[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
    found = []
    for process in parents:
        above: int | None = process
        while above is not None and above != os.getpid():
            above = parents.get(above)
        if above is not None and process != os.getpid():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append((process, line))
    return found


def holders() -> list[int]:
    """The workers that hold a network. Ray's are those that run it now, as their titles say."""
    found = []
    for process, line in descendants():
        if line.startswith(("ray::MapBatches(_Features)", "ray::MapBatches(_Packed)")) or "pyspark.daemon" in line:
            with contextlib.suppress(OSError):
                if "libtensorflow" in Path(f"/proc/{process}/maps").read_text():
                    found.append(process)
    return found


class Sender:
    """Sends a signal to processes while a block runs. After a while it looks again, as often as asked."""

    def __init__(self, number: int, victims: Callable[[], list[int]], times: int, after: float = 0.3) -> None:
        self._number, self._victims, self._times, self._after = number, victims, times, after
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.hit: list[int] = []

    def _send(self) -> None:
        while len(self.hit) < self._times and not self._ends.wait(0.02):
            fresh = [process for process in self._victims() if process not in self.hit]
            if fresh and not self._ends.wait(self._after):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(fresh[0], self._number)
                    self.hit.append(fresh[0])

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ends.set()
        self._thread.join()
        for process in self.hit if self._number == signal.SIGSTOP else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


# ---- the engines


class OnRay:
    """Two machines of Ray, as processes here. The second has other variables, if that is asked for."""

    name = "Ray"
    has_speculation = False

    def __init__(self, folder: Path, second: dict[str, str]) -> None:
        import ray
        import ray.data
        from ray.cluster_utils import Cluster

        import fne.ray

        self.ray, self.fne = ray, fne.ray
        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}, shutdown_at_exit=False
        )
        self._second = self._cluster.add_node(num_cpus=1, env_vars=second)
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="error")
        ray.data.DataContext.get_current().enable_progress_bars = False

    def run(self, groups: list[list[str]], graph: Path) -> Outcome:
        first, *others = [
            self.ray.data.from_items([{"path": path} for path in group], override_num_blocks=1)
            if group
            else self.ray.data.from_items([{"path": ""}]).filter(lambda row: False)
            for group in groups
        ]
        data = first.union(*others)
        # SPREAD: both machines take part, also where one could do it all.
        options: dict[str, Any] = {"size": SIZE, "ray_remote_args": {"scheduling_strategy": "SPREAD"}}
        rows = self.fne.features(data, graph, **options).materialize()
        statistics = self.fne.statistics(rows)
        coded = self.fne.codes(rows, statistics).take_all()
        packed = self.fne.embed(data, graph, statistics, **options).take_all()
        return _outcome(statistics, coded, packed)

    def machine(self) -> list[int]:
        """The second machine's process, once a worker holds a network."""
        raylets = [process.process.pid for process in self._second.all_processes["raylet"]]
        return raylets if holders() else []

    def close(self) -> None:
        self.ray.shutdown()
        self._cluster.shutdown()


class OnSpark:
    """A standalone cluster of Spark with two workers. The second has other variables, if that is asked for.

    The workers have addresses of their own, since Spark starts no task a second time at the same address.
    """

    name = "Spark"
    has_speculation = True

    def __init__(self, folder: Path, second: dict[str, str]) -> None:
        import pyspark
        from pyspark.sql import SparkSession

        import fne.spark

        self.fne = fne.spark
        folder.mkdir(exist_ok=True)
        os.environ["PYSPARK_PYTHON"] = sys.executable
        home = Path(pyspark.__file__).parent
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        address = f"spark://127.0.0.1:{port}"

        def start(kind: str, *arguments: str, variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [home / "bin/spark-class", f"org.apache.spark.deploy.{kind}", "--webui-port", "0", *arguments],
                env=dict(os.environ, SPARK_HOME=str(home), **(variables or {})),
                stderr=subprocess.DEVNULL,
            )

        self._processes = [start("master.Master", "--host", "127.0.0.1", "--port", port)]
        for number, variables in ((1, {}), (2, second)):
            own = ["--host", f"127.0.0.{number}", "--cores", "1", "--memory", "1g", "--work-dir", str(folder / "work")]
            self._processes.append(start("worker.Worker", *own, address, variables=variables))
        builder = SparkSession.builder.master(address)
        for name, value in {
            "ui.enabled": "false",
            "ui.showConsoleProgress": "false",
            "driver.host": "127.0.0.1",
            "executor.memory": "1g",
            "scheduler.minRegisteredResourcesRatio": "1",
            "scheduler.maxRegisteredResourcesWaitingTime": "300s",
            "cores.max": "2",
            "sql.warehouse.dir": str(folder / "warehouse"),
            "speculation": "true",
            "speculation.interval": "100ms",
            "speculation.multiplier": "1.5",
            "speculation.quantile": "0.5",
        }.items():
            builder = builder.config(f"spark.{name}", value)
        self.spark = builder.getOrCreate()
        self.spark.sparkContext.setLogLevel("OFF")

    def run(self, groups: list[list[str]], graph: Path) -> Outcome:
        parts = self.spark.sparkContext.parallelize(groups, len(groups))
        frame = self.spark.createDataFrame(parts.flatMap(lambda part: [(path,) for path in part]), "path string")
        rows = self.fne.features(frame, graph, size=SIZE).cache()
        statistics = self.fne.statistics(rows)
        coded = [row.asDict() for row in self.fne.codes(rows, statistics).collect()]
        packed = [row.asDict() for row in self.fne.embed(frame, graph, statistics, size=SIZE).collect()]
        return _outcome(statistics, coded, packed)

    def machine(self) -> list[int]:
        """The second worker's process, once one holds a network. Its executor ends with it."""
        return [self._processes[2].pid] if holders() else []

    def close(self) -> None:
        self.spark.stop()
        for process in reversed(self._processes):
            process.kill()
            process.wait()


def _outcome(statistics: fne.Statistics, coded: list[Any], packed: list[Any]) -> Outcome:
    return Outcome(
        statistics,
        {row["path"]: np.asarray(row["codes"], np.int8) for row in coded},
        {row["path"]: None if row["packed"] is None else bytes(row["packed"]) for row in packed},
        {row["path"]: row["reason"] for row in coded if row["status"]},
    )


ENGINES = {"ray": OnRay, "spark": OnSpark}


# ---- faults


def cut(paths: list[str], count: int) -> list[list[str]]:
    """Paths in parts of one size."""
    size = -(-len(paths) // count)
    return [paths[first : first + size] for first in range(0, len(paths), size)]


def nothing(session: Any, data: Data) -> str:
    return verdict(session.run(cut(data.paths, 6), data.graph), data)


def _signalled(session: Any, data: Data, sender: Sender) -> str:
    with sender:
        found = session.run(cut(data.paths, 6), data.graph)
    return verdict(found, data) if sender.hit else "NO PROCESS WAS HIT"


def killed_worker(session: Any, data: Data) -> str:
    return _signalled(session, data, Sender(signal.SIGKILL, holders, times=2))


def lost_machine(session: Any, data: Data) -> str:
    return _signalled(session, data, Sender(signal.SIGKILL, session.machine, times=1))


def stopped_worker(session: Any, data: Data) -> str:
    """A worker that hangs: speculation runs its task elsewhere."""
    if not session.has_speculation:
        return "not run: the engine starts no task twice, and waits"
    return _signalled(session, data, Sender(signal.SIGSTOP, holders, times=1))


def bad_parts(session: Any, data: Data) -> str:
    groups = [[MISSING] * 3, *cut(data.paths, 3), ["s3://bucket/image.jpg"], [MISSING]]
    return verdict(session.run(groups, data.graph), data)


def empty_parts(session: Any, data: Data) -> str:
    first, second = cut(data.paths, 2)
    return verdict(session.run([[], first, [], second, []], data.graph), data)


def skew(session: Any, data: Data) -> str:
    """One part holds most images, the others one each."""
    return verdict(session.run([data.paths[:-4], *([path] for path in data.paths[-4:])], data.graph), data)


class Fault(NamedTuple):
    """A fault.

    title: what the table calls it
    run: runs with it on two machines
    second: variables of the second machine
    leaves: the machines serve another run afterwards
    """

    title: str
    run: Callable[[Any, Data], str]
    second: dict[str, str]
    leaves: bool = True


FAULTS = {
    "none": Fault("none", nothing, {}),
    "killed-worker": Fault("two workers killed one after the other", killed_worker, {}),
    "bad-parts": Fault("partitions of bad images alone", bad_parts, {}),
    "empty-parts": Fault("empty partitions", empty_parts, {}),
    "skew": Fault("one partition with nearly all images, others with one", skew, {}),
    "stopped-worker": Fault("a worker hangs", stopped_worker, {}),
    "lost-machine": Fault("a machine lost", lost_machine, {}, leaves=False),
    "no-engine": Fault("a machine without TensorFlow", nothing, NO_ENGINE, leaves=False),
    "other-settings": Fault("a machine with `TF_ENABLE_ONEDNN_OPTS=0`", nothing, OTHER_SETTINGS, leaves=False),
}


class Machines:
    """Two machines of an engine. Faults that leave them alone share them."""

    def __init__(self, engine: str, folder: Path) -> None:
        self._kind, self._folder = ENGINES[engine], folder
        self._session: Any = None
        self._second: dict[str, str] = {}

    def outcome(self, fault: Fault, data: Data) -> str:
        """What a run with a fault ends with, in words."""
        if self._second != fault.second:
            self.close()
        try:
            if self._session is None:
                self._session, self._second = self._kind(self._folder, fault.second), fault.second
            return fault.run(self._session, data)
        except Exception as failure:
            return f"error: {told(str(failure))}"
        finally:
            if not fault.leaves:
                self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def told(text: str) -> str:
    """The first sentence of fne's error in an engine's traceback: of the last line that names one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Warning): ", line) or "workers that differ" in line]
    return (own or lines)[-1].split(". ")[0][:200]


def main() -> None:
    from conftest import small_network

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--images", type=int, default=600)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = folder / "network.pb"
        graph.write_bytes(small_network()[0].SerializeToString())
        data = prepared(folder, [Path(path) for path in fne.zoo.sample_images()], graph, given.images)
        engines = given.engine or list(ENGINES)
        sessions = [Machines(engine, folder / engine) for engine in engines]
        print("| fault | " + " | ".join(ENGINES[engine].name for engine in engines) + " | seconds |")
        print("|---" * (len(engines) + 2) + "|", flush=True)
        for key in given.fault or FAULTS:
            start = time.perf_counter()
            words = [session.outcome(FAULTS[key], data) for session in sessions]
            seconds = time.perf_counter() - start
            print(f"| {FAULTS[key].title} | {' | '.join(words)} | {seconds:.0f} |", flush=True)
        for session in sessions:
            session.close()


if __name__ == "__main__":
    main()
