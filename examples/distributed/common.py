"""What the examples share: their arguments, a run in one process to compare with, and the output."""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy

import fne


class Task(NamedTuple):
    """The arguments, and the job of one process."""

    model: str
    output: Path
    size: tuple[int, int]
    workers: int
    job: fne.Job
    paths: list[str]
    seconds: float

    def parts(self) -> list[list[str]]:
        """The photographs in parts of unequal size, as data come in practice."""
        cuts = [0, len(self.paths) // 5, len(self.paths) // 2, len(self.paths)]
        return [self.paths[a:b] for a, b in itertools.pairwise(cuts)]

    def compare(
        self, name: str, seconds: float, embedded: float, statistics: fne.Statistics, codes: dict[str, Any]
    ) -> None:
        """Prints both speeds, and whether the results have the same bits."""
        count = len(self.paths)
        same = all(numpy.array_equal(codes[path], self.job.codes(images=[i])[0]) for i, path in enumerate(self.paths))
        equal = statistics.to_bytes() == self.job.statistics().to_bytes()
        print(f"{'one process':12s} {count / self.seconds:7.1f} images/s, {self.seconds:.1f} s with its start")
        print(f"{name:12s} {count / seconds:7.1f} images/s, {seconds:.1f} s, of which {embedded:.1f} s to the features")
        print(f"statistics   {'the same bytes' if equal else 'DIFFERENT'}")
        print(f"codes        {'the same' if same else 'DIFFERENT'}")


def task(description: str | None) -> Task:
    """Reads the arguments and runs the job of one process."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    size = (given.size, given.size)
    start = time.perf_counter()
    job = fne.embed_dataset(given.folder, given.model, given.output / "job", size=size, progress=True)
    seconds = time.perf_counter() - start
    paths = [str(given.folder / name) for name in job.names]
    return Task(given.model, given.output, size, given.workers, job, paths, seconds)
