"""Prints how long it takes to list a folder of images: `listing.py [FILES]`.

It writes FILES files (100,000), in a hundred folders. Once their names say that they are images. Once the first bytes
of each have to be read. The figures are medians of five, with
their range.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from figures import figure, print_at_once
from progress import progress

import fne

FOLDERS, ROUNDS = 100, 5
#: What names of files end with, and what they say so.
ENDINGS = {".jpg": "say what they are", "": "say nothing", ".jpg_large": "say nothing known"}


def write(folder: Path, ending: str, count: int, content: bytes) -> None:
    """Writes files, evenly into the folders."""
    for number in range(FOLDERS):
        inside = folder / str(number)
        inside.mkdir(parents=True)
        for file in range(count // FOLDERS):
            (inside / f"{file}{ending}").write_bytes(content)


def main() -> None:
    print_at_once()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with open(fne.zoo.sample_images()[0], "rb") as image:
        content = image.read(200)
    print("| files | names | seconds |\n|---|---|---|")
    progress.plan(len(ENDINGS) * ROUNDS)
    for ending, words in ENDINGS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), ending, count, content)
            seconds = []
            for number in range(ROUNDS):
                progress.step(f"{count} files, whose names {words}", f"round {number + 1} of {ROUNDS}")
                started = time.perf_counter()
                found = len(fne.list_images(folder))
                seconds.append(time.perf_counter() - started)
            shown = figure(f"list {found} files, whose names {words}", "s", seconds)
            print(f"| {found:,} | {words} | {shown} |")


if __name__ == "__main__":
    main()
