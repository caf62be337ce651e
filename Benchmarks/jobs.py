"""Jobs: `jobs.py jobs` and `jobs.py update`, two parts of `make bench`.

"jobs" is what a job costs beyond the network: time, the shares of the statistics and of the checksums, memory.
"update" brings a job up to date with some new images, beside a fresh job over all of them. The files of both must be
equal. --images and --new say how many there are.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
from figures import figure, ratios
from networks import SIZE
from progress import progress
from settings import chosen_networks, chosen_photographs, parse, parser

import fne

# Prints the peak resident memory in MB of a job over the list of files given.
MEMORY = """
import re, sys, fne
fne.embed_dataset(sys.argv[1], sys.argv[2], sys.argv[3], size=(int(sys.argv[4]),) * 2)
print(int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read()).group(1)) / 1024)
"""


def repeated(photographs: list[str], count: int) -> list[str]:
    return (photographs * (count // len(photographs) + 1))[:count]


# ---- a job beside the network


def job_figures(graph: Path, title: str, size: int, photographs: list[str], rounds: int, images: int) -> None:
    """A job beside a bare extraction of the same files, with the time of its statistics alone.

    The checksums' share is of the processor time, since they are computed while the network runs. It is what comparing
    the job's files takes, which also reads them, over what the job took.
    """
    paths = repeated(photographs, images)
    times: dict[str, list[float]] = {name: [] for name in ("job", "extract", "statistics", "processor", "checksums")}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(rounds + 1):
            progress.step(title, f"round {number} of {rounds}" if number else "getting warm")
            job = job_round(graph, size, paths, Path(temporary) / str(number), times)
    kept = {name: values[1:] for name, values in times.items()}
    name = f"a job, {title}"
    speed = figure(f"{name}, from files to the folder", "images/s", [len(paths) / each for each in kept["job"]], 0)
    print(f"{name}: {len(paths)} images, {job.feature_count} features, {speed} images/s from files to the folder")
    ratio = figure(f"{name}, of the time of extract alone", "ratio", ratios(kept["job"], kept["extract"]))
    share = [100 * each for each in ratios(kept["statistics"], kept["job"])]
    print(f"  {ratio} of the time of extract alone; the exact statistics are", end=" ")
    print(f"{figure(f'{name}, share of the exact statistics', '%', share, 1)} % of the job")
    sums = [100 * each for each in ratios(kept["checksums"], kept["processor"])]
    print(f"  the checksums are {figure(f'{name}, share of the checksums', '%', sums, 1)} % of its processor time")


def job_round(graph: Path, size: int, paths: list[str], folder: Path, times: dict[str, list[float]]) -> fne.Job:
    """Runs a job and a bare extraction, and adds what they took."""
    embedding: list[float] = []
    processor = time.process_time()

    def started(phase: str, done: int, total: int) -> None:
        if not embedding:
            embedding.append(time.perf_counter())

    job = fne.embed_dataset(paths, graph, folder, size=(size, size), progress=started)
    times["job"].append(time.perf_counter() - embedding[0])
    times["processor"].append(time.process_time() - processor)
    processor = time.process_time()
    compared = fne.Job(job.folder, verify=True)
    compared.features(), compared.codes()
    times["checksums"].append(time.process_time() - processor)
    rows = numpy.array(job.features())
    start = time.perf_counter()
    collected = fne.Statistics(job.feature_count)
    for first in range(0, len(rows), 4):  # as the job gets them
        collected.update(rows[first : first + 4])
    times["statistics"].append(time.perf_counter() - start)
    with fne.Extractor(graph, size=(size, size)) as extractor:
        extractor.extract(paths[:16])
        start = time.perf_counter()
        extractor.extract(paths)
        times["extract"].append(time.perf_counter() - start)
    return job


def job_memory(graph: Path, title: str, size: int, photographs: list[str], counts: tuple[int, int]) -> None:
    """The peak resident memory of a job with few and with many images."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            progress.step(title, f"memory of {count} images")
            listed = Path(folder) / f"{count}.txt"
            listed.write_text("\n".join(repeated(photographs, count)))
            command = [sys.executable, "-c", MEMORY, listed, graph, Path(folder) / f"memory{count}", size]
            out = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
            shown = figure(f"a job, {title}, {count} images, peak memory", "MB", float(out), 0)
            peaks.append(f"{count} images {shown} MB")
    print(f"  peak resident memory: {', '.join(peaks)}")


def jobs(given: argparse.Namespace, photographs: list[str]) -> None:
    network = chosen_networks(given)[0]
    measured = [(network.path, network.title, SIZE)]
    fastest = given.assets and given.assets / "models/mobilenet_v1_0.25_128.pb"
    if fastest and fastest.exists() and not given.quick:
        measured.append((fastest, "MobileNet V1 0.25", 128))
    counts = (50, 500) if given.quick else (500, 5000)
    progress.plan(len(measured) * (given.rounds + 1 + len(counts)))
    for graph, title, size in measured:
        job_figures(graph, title, size, photographs, given.rounds, given.images)
        job_memory(graph, title, size, photographs, counts)


# ---- an update


def write_images(photographs: list[str], folder: Path, count: int) -> None:
    """Photographs 0.jpg, 1.jpg, ... of which no two are one file. Those that are there stay as they are."""
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(repeated(photographs, count)):
        target = folder / f"{number:06d}.jpg"
        if not target.exists():
            shutil.copyfile(path, target)


def fne_embed(source: Path, graph: Path, job: Path, *options: str) -> float:
    """The seconds of `fne embed`, as a process of its own."""
    command = [sys.executable, "-m", "fne", "embed", str(source), str(graph), str(job), "--size", str(SIZE), *options]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


#: Files in which equal jobs differ (docs/jobs.md).
OWN_FILES = {"runs.jsonl", "image_files.npy"}


def differing(job: Path, other: Path) -> list[str]:
    """The files of two jobs that have other bytes, or are in one of them alone, but for OWN_FILES."""
    names = {str(path.relative_to(folder)) for folder in (job, other) for path in folder.rglob("*") if path.is_file()}
    return sorted(name for name in names - OWN_FILES if _content(job / name) != _content(other / name))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def update(given: argparse.Namespace, photographs: list[str]) -> None:
    """Prints how long an update takes beside a fresh job, and which of their files differ."""
    graph = chosen_networks(given)[0]
    what = f"{graph.title}, {given.new} new of {given.images} images"
    times: dict[str, list[float]] = {"update": [], "fresh": []}
    differ: set[str] = set()
    progress.plan(3 * given.rounds)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(given.rounds):
            source, grown, fresh = folder / f"images{number}", folder / f"grown{number}", folder / f"fresh{number}"
            round_of = f"round {number + 1} of {given.rounds}"
            write_images(photographs, source, given.images - given.new)
            progress.step(f"{what}, the first job", round_of)
            fne_embed(source, graph.path, grown)
            write_images(photographs, source, given.images)
            for kind in ("update", "fresh")[:: 1 if number % 2 == 0 else -1]:
                progress.step(f"{what}, {kind}", round_of)
                job, options = (grown, ("--update",)) if kind == "update" else (fresh, ())
                times[kind].append(fne_embed(source, graph.path, job, *options))
            differ.update(differing(grown, fresh))
            for done in (source, grown, fresh):
                shutil.rmtree(done)
    print(what)
    taken = {kind: figure(f"{what}, {kind}", "s", values) for kind, values in times.items()}
    times_as_fast = figure(f"{what}, fresh job over update", "ratio", ratios(times["fresh"], times["update"]), 1)
    print(f"  the update {taken['update']} s, a fresh job {taken['fresh']} s: {times_as_fast} times as long")
    figure(f"{what}, files that differ from a fresh job's", "number", len(differ), 0)
    print(f"  {'all files are equal' if not differ else 'these files differ: ' + ', '.join(sorted(differ))}")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("what", choices=("jobs", "update"))
    options.add_argument("--images", type=int, help="2000, and 200 with --quick")
    options.add_argument("--new", type=int, default=10, help="images of these that are new to an update (10)")
    given = parse(options)
    given.images = given.images or (200 if given.quick else 2000)
    if not 0 < given.new < given.images:
        options.error(f"--new is {given.new}, and must be from 1 to {given.images - 1}")
    if given.quick:
        given.rounds = 1
    with tempfile.TemporaryDirectory() as folder:
        photographs = chosen_photographs(given, Path(folder))
        (jobs if given.what == "jobs" else update)(given, photographs)


if __name__ == "__main__":
    main()
