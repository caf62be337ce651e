"""The library: what it needs, its size, and how long it takes to load. A part of `make bench`."""

from __future__ import annotations

import re
import subprocess
import sys

from figures import figure
from networks import ROOT
from progress import progress
from settings import parse, parser

LIBRARY = ROOT / "build/lib/libfne.so.2"
LOADING = (
    "import ctypes, time; s = time.perf_counter(); "
    f"ctypes.CDLL({str(LIBRARY)!r}).fne_version_number(); print(time.perf_counter() - s)"
)
IMPORTING = "import numpy, time; s = time.perf_counter(); import fne; print(time.perf_counter() - s)"


def milliseconds(program: str, what: str, rounds: int) -> list[float]:
    """What a Python program prints, in a process of its own each time."""
    found = []
    for number in range(rounds):
        progress.step(what, f"round {number + 1} of {rounds}")
        found.append(1000 * float(subprocess.check_output([sys.executable, "-c", program])))
    return found


def main() -> None:
    given = parse(parser(__doc__))
    rounds = 2 * given.rounds - 1
    progress.plan(2 * rounds)
    needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.check_output(["readelf", "-d", LIBRARY], text=True))
    symbols = subprocess.check_output(["nm", "-D", "--defined-only", LIBRARY], text=True)
    exported = re.findall(r" [A-Z] (fne_\w+)", symbols)
    print(f"libfne.so\n  needs {', '.join(needed)}")
    size = figure("size of libfne.so", "MB", LIBRARY.stat().st_size / 1e6)
    print(f"  {figure('exported functions', 'number', len(exported), 0)} exported functions, {size} MB")
    loading = figure("ctypes.CDLL and a first call", "ms", milliseconds(LOADING, "loading", rounds), 1)
    print(f"  ctypes.CDLL and a first call: {loading} ms")
    importing = figure("import fne, beyond numpy", "ms", milliseconds(IMPORTING, "importing", rounds), 0)
    print(f"  import fne, beyond numpy: {importing} ms")


if __name__ == "__main__":
    main()
