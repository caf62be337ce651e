"""What a job costs beyond the network: time, the shares of the statistics and of the checksums, memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

import fne

# Prints the peak resident memory in MB of a job over the list of files given.
MEMORY = """
import re, sys, fne
fne.embed_dataset(sys.argv[1], sys.argv[2], sys.argv[3], size=(int(sys.argv[4]),) * 2)
print(int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read()).group(1)) / 1024)
"""


def job_figures(graph: Path, title: str, size: int, photographs: list[str], rounds: int) -> None:
    """A job beside a bare extraction of the same files, with the time of its statistics alone, and its memory.

    The checksums' share is of the processor time, since they are computed while the network runs. It is what comparing
    the job's files takes, which also reads them, over what the job took.
    """
    paths = (photographs * (2000 // len(photographs) + 1))[:2000]
    times: dict[str, list[float]] = {name: [] for name in ("job", "extract", "statistics", "processor", "checksums")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(rounds + 1):
            embedding: list[float] = []
            processor = time.process_time()

            def progress(phase: str, done: int, total: int, embedding: list[float] = embedding) -> None:
                if not embedding:
                    embedding.append(time.perf_counter())

            job = fne.embed_dataset(paths, graph, folder / str(number), size=(size, size), progress=progress)
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
        share = statistics.median(a / b for a, b in zip(times["statistics"][1:], times["job"][1:], strict=True))
        sums = statistics.median(a / b for a, b in zip(times["checksums"][1:], times["processor"][1:], strict=True))
        ratio = statistics.median(a / b for a, b in zip(times["job"][1:], times["extract"][1:], strict=True))
        speed = len(paths) / statistics.median(times["job"][1:])
        what = f"{len(paths)} images, {job.feature_count} features"
        print(f"a job, {title}: {what}, {speed:.0f} images/s from files to the folder")
        print(f"  {ratio:.2f} of the time of extract alone; the exact statistics are {share:.1%} of the job")
        print(f"  the checksums are {sums:.1%} of the job's processor time")
        peaks = []
        for count in (500, 5000):
            listed = folder / f"{count}.txt"
            listed.write_text("\n".join((photographs * (count // len(photographs) + 1))[:count]))
            command = [sys.executable, "-c", MEMORY, listed, graph, folder / f"memory{count}", size]
            out = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
            peaks.append(float(out))
        print(f"  peak resident memory: 500 images {peaks[0]:.0f} MB, 5000 images {peaks[1]:.0f} MB")
