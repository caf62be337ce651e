"""What small images cost from the file to the network's input: `costs.py CORPUS`, or `make decode-costs`.

It takes the fuzzers' seeds of images and the files of Tests/python/hostile_images.py, with the default limits, and
prints the worst processor time and the worst memory by the size of the file. Time is that of the thread, the shortest
of three runs. Memory is what the process had at most, less what it had before. It fails where a file below 1 MB takes
more than a second or 300 MB."""

from __future__ import annotations

import ctypes
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/python"))

import hostile_images  # noqa: E402  (found on the path above)
from test_preprocessing import extractor  # noqa: E402  (found on the path above)

import fne  # noqa: E402  (found on the path above)

SECONDS, BYTES, SMALL = 1.0, 300e6, 1_000_000
#: The default preprocessing, and the dearest.
OPTIONS = ({}, {"resize_mode": "shortest_side", "interpolation": "antialiased", "crops": 10})


def files(corpus: Path) -> Iterator[tuple[str, bytes]]:
    for folder in ("jpeg", "png"):
        for path in sorted((corpus / folder).iterdir()):
            yield f"{folder}/{path.name}", path.read_bytes()
    for name, case in hostile_images.cases().items():
        yield name, case.data()


def resident(field: str) -> int:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def cost(network: fne.Extractor, data: bytes) -> tuple[float, int, bool]:
    """Seconds, bytes, and whether the image was read."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = resident("VmRSS"), time.thread_time()
    try:
        fed = network.preprocess(data)
    except fne.ImageError:
        fed = None
    return time.thread_time() - start, resident("VmHWM") - before, fed is not None


def main(corpus: Path) -> int:
    networks = [extractor(224, 224, **options) for options in OPTIONS]
    rows: dict[int, list[tuple[float, int, bool, str]]] = {}
    for name, data in files(corpus):
        runs = [[cost(network, data) for _ in range(3)] for network in networks]
        seconds = max(min(run[0] for run in network) for network in runs)
        memory = max(run[1] for network in runs for run in network)
        rows.setdefault(len(str(len(data) - 1)), []).append((seconds, memory, runs[0][0][2], name))
    print("| file below | files | read | most seconds | of | most memory | of |\n|---|---|---|---|---|---|---|")
    beyond = []
    for digits, found in sorted(rows.items()):
        slow, large = max(found), max(found, key=lambda row: row[1])
        size = f"{10**digits // 1000:,} KB" if digits >= 3 else f"{10**digits} bytes"
        read = sum(row[2] for row in found)
        print(f"| {size} | {len(found)} | {read} | {slow[0]:.2f} | {slow[3]} | {large[1] / 1e6:.0f} MB | {large[3]} |")
        beyond += [row for row in found if (row[0] > SECONDS or row[1] > BYTES) and 10**digits <= SMALL]
    for seconds, memory, _, name in beyond:
        print(f"{name}: {seconds:.2f} s and {memory / 1e6:.0f} MB are too much", file=sys.stderr)
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
