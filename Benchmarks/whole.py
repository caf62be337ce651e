"""Whole processes: `whole.py cold` and `whole.py memory`, two parts of `make bench`.

"cold" is the time from a process' start to the written result, and the peak of resident memory, of the original, of
libfne, and of libfne in bfloat16. "memory" is the peak with few and with many images.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from figures import figure, ratios, taking_turns
from networks import ROOT, SIZE, Network
from progress import progress
from settings import chosen_networks, chosen_photographs, evenly, parse, parser

# Peak of resident memory in kB. Not getrusage's, in which that of the process before exec lives on.
PEAK = """
def peak():
    return int([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""

COLD_A = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import implementation_a
network = implementation_a.Network(implementation_a.load_graph({graph!r}), "input:0", {layers!r}, {size}, {size})
features, stats = implementation_a.embed(network.pooled({paths!r}, 32))
np.save({out!r}, features)
np.save({out!r} + ".stats.npy", stats)
"""

COLD_OURS = """
import numpy as np
import fne
if {bfloat16!r}:
    extractor = fne.Extractor({graph!r}, "input:0", {layers!r}, ({size}, {size}), precision="bfloat16")
    rows = extractor.extract({paths!r}).features
    collected = fne.Statistics(rows.shape[1]).update(rows)
    stats = np.stack([collected.mean(), collected.std()])
    features = fne.ternarize(rows, stats[0], stats[1])
else:
    features, stats = fne.full_network_embedding({graph!r}, {paths!r}, 16, "input:0", {layers!r}, ({size}, {size}))
np.save({out!r}, features)
np.save({out!r} + ".stats.npy", stats)
"""

MEMORY = """
import numpy as np
import fne
paths = ({paths!r} * 100)[:{count}]
stats = np.load({stats!r}) if {given!r} else None
features, stats = fne.full_network_embedding({graph!r}, paths, 16, None, None, ({size}, {size}), stats)
np.save({stats!r}, stats)
print(features.nbytes / 1e6)
"""


def run(program: str, folder: Path) -> tuple[float, float, str]:
    """Seconds from the start of a process to its end, its peak of resident memory in MB, and what it printed."""
    script = folder / "whole.py"
    script.write_text(PEAK + program + "\nprint('PEAK', peak())\n")
    command = [sys.executable, str(script)]
    start = time.perf_counter()
    out = subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.perf_counter() - start
    return seconds, int(re.findall(r"PEAK (\d+)", out)[-1]) / 1e3, out.rpartition("PEAK")[0]


# ---- cold


def cold(network: Network, paths: list[str], folder: Path, rounds: int) -> None:
    """Prints a line for each of the original, libfne, and libfne in bfloat16."""

    def way(program: str, bfloat16: bool = False) -> Callable[[], tuple[float, float, str]]:
        text = program.format(
            tests=str(ROOT / "Tests/python"),
            graph=str(network.path),
            layers=network.layers,
            paths=paths,
            size=SIZE,
            out=str(folder / "cold.npy"),
            bfloat16=bfloat16,
        )
        return partial(run, text, folder)

    ways = {"the original": way(COLD_A), "libfne": way(COLD_OURS), "libfne, bfloat16": way(COLD_OURS, True)}
    what = f"{network.title}, {len(paths)} photograph{'s' * (len(paths) > 1)}"
    found = taking_turns(ways, rounds, 0, progress.rounds(what, rounds))
    seconds = {name: [each[0] for each in runs] for name, runs in found.items()}
    print(f"  {what}")
    for name, runs in found.items():
        line = f"    {name:18s} {figure(f'{what}, {name}, whole process', 's', seconds[name])} s, "
        line += f"{figure(f'{what}, {name}, peak memory', 'MB', [each[1] for each in runs], 0)} MB"
        if name != "the original":
            times = ratios(seconds["the original"], seconds[name])
            line += f", {figure(f'{what}, {name}, whole process, times the original', 'ratio', times)} times as fast"
        print(line)


def measure_cold(given: argparse.Namespace, folder: Path) -> None:
    paths = chosen_photographs(given, folder, 64)
    chosen = chosen_networks(given)
    # A network with random weights is large, and one photograph says what its start takes.
    kinds = [(network, some) for network in chosen for some in _photographs(network, paths)]
    rounds = [given.rounds if "random" not in network.title else -(-given.rounds // 2) for network, _ in kinds]
    progress.plan(sum(rounds))
    for (network, some), count in zip(kinds, rounds, strict=True):
        cold(network, some, folder, 1 if given.quick else count)


def _photographs(network: Network, paths: list[str]) -> list[list[str]]:
    return ([] if "random" in network.title or len(paths) == 1 else [paths]) + [paths[:1]]


# ---- memory


def memory(network: Network, paths: list[str], folder: Path, counts: tuple[int, int]) -> None:
    """Peak resident memory of few and of many images, with and without given statistics."""
    print(f"peak resident memory, {network.title}")
    progress.plan(2 * len(counts))
    for given in (False, True):
        what = "given statistics" if given else "computing the statistics"
        line = []
        for count in counts:
            progress.step(f"{network.title}, {what}", f"{count} images")
            options: dict[str, Any] = {"paths": paths, "count": count, "given": given, "graph": str(network.path)}
            program = MEMORY.format(**options, size=SIZE, stats=str(folder / "s.npy"))
            _, peak, printed = run(program, folder)
            shown = figure(f"{network.title}, {what}, {count} images, peak memory", "MB", peak, 0)
            output = figure(f"{network.title}, {what}, {count} images, output", "MB", float(printed), 0)
            line.append(f"{count} images {shown} MB, of which {output} are the output")
        print(f"  {what}: {'; '.join(line)}")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("what", choices=("cold", "memory"))
    given = parse(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.what == "cold":
            measure_cold(given, folder)
        else:
            paths = evenly(chosen_photographs(given, folder), 500)
            memory(chosen_networks(given)[0], paths, folder, (50, 500) if given.quick else (500, 5000))


if __name__ == "__main__":
    main()
