"""Prints how long it takes to list a folder of images: `listing.py [FILES]`.

It writes FILES files (100,000), in a hundred folders. Once their names say that they are images. Once the first bytes
of each have to be read. The figures are medians of five.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import fne

FOLDERS = 100


def write(folder: Path, ending: str, count: int, content: bytes) -> None:
    """Writes files, evenly into the folders."""
    for number in range(FOLDERS):
        inside = folder / str(number)
        inside.mkdir(parents=True)
        for file in range(count // FOLDERS):
            (inside / f"{file}{ending}").write_bytes(content)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with open(fne.zoo.sample_images()[0], "rb") as image:
        content = image.read(200)
    print("| files | names | seconds |\n|---|---|---|")
    for ending, words in ((".jpg", "say what they are"), ("", "say nothing"), (".jpg_large", "say nothing known")):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), ending, count, content)
            seconds = []
            for _ in range(5):
                started = time.perf_counter()
                found = len(fne.list_images(folder))
                seconds.append(time.perf_counter() - started)
            print(f"| {found:,} | {words} | {statistics.median(seconds):.2f} |", flush=True)


if __name__ == "__main__":
    main()
