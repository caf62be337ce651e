"""How many ternary values equal those of implementation A, from Python and from the C example. A part of `make bench`.

Networks with random weights are left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from figures import figure
from networks import ROOT, SIZE, Network
from progress import progress
from settings import chosen_networks, chosen_photographs, parse, parser

sys.path.insert(0, str(ROOT / "Tests/python"))


def build_example() -> None:
    """Builds build/embed by the command that its source names."""
    line = re.search(r"^ \*     (gcc .*)$", (ROOT / "bindings/c/embed.c").read_text(), re.MULTILINE)
    assert line is not None
    subprocess.run(line.group(1), shell=True, check=True, cwd=ROOT)


def agreement(network: Network, paths: list[str], folder: Path) -> None:
    """Ternary values and statistics against implementation A: from Python, and from the C example."""
    import implementation_a
    import numpy as np

    import fne
    from fne._libpath import tensorflow_library

    progress.step(network.title, "implementation A")
    graph = implementation_a.load_graph(network.path)
    reference = implementation_a.Network(graph, "input:0", network.layers, SIZE, SIZE)
    pooled = reference.pooled(paths, 32)
    expected, expected_stats = implementation_a.embed(pooled)

    def report(source: str, features: Any, stats: Any, columns: slice) -> None:
        wanted, wanted_stats = expected[:, columns], expected_stats[:, columns]
        errors = [abs(stats[i] - wanted_stats[i]).max() / abs(wanted_stats[i]).max() for i in (0, 1)]
        name = f"{network.title}, {source}"
        equal = figure(f"{name}, ternary values that equal the original's", "%", 100 * np.mean(features == wanted), 5)
        for what, error in zip(("mean", "deviation"), errors, strict=True):
            figure(f"{name}, largest difference of the {what}, of its largest", "ratio", error)
        print(
            f"  {source:9s} {features.shape[0]} images x {features.shape[1]} features: {equal} % equal, "
            f"{int(np.sum(features != wanted))} differ; mean within {errors[0]:.1e}, "
            f"deviation within {errors[1]:.1e} of the largest"
        )

    progress.step(network.title, "Python")
    with fne.Extractor(network.path, "input:0", network.layers, (SIZE, SIZE)) as extractor:
        rows = extractor.extract(paths).features
    near = 100 * np.mean(np.abs(rows - pooled) <= 1e-4 * np.abs(pooled).max(0))
    name = f"{network.title}, pooled values within 1e-4 of their feature's largest"
    print(f"  pooled values within 1e-4 of their feature's largest: {figure(name, '%', near, 5)} %")
    collected = fne.Statistics(rows.shape[1]).update(rows)
    mean, std = collected.mean(), collected.std()
    report("Python", fne.ternarize(rows, mean, std), np.stack([mean, std]), slice(None))

    # The C example takes the default layers: all but the classifier's, which is the last of the list if it is there.
    progress.step(network.title, "C")
    defaults = [layer.name + ":0" for layer in fne.Model(network.path).layers()]
    assert network.layers[: len(defaults)] == defaults
    out = folder / "out.npy"
    subprocess.run(
        [ROOT / "build/embed", network.path, "input:0", f"{SIZE}x{SIZE}", out, *paths],
        check=True,
        stdout=subprocess.DEVNULL,
        env=dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library() or "")),
    )
    codes = np.load(out)
    report("C", codes, np.load(folder / "out.stats.npy"), slice(codes.shape[1]))


def main() -> None:
    given = parse(parser(__doc__))
    build_example()
    chosen = [network for network in chosen_networks(given) if "random" not in network.title]
    progress.plan(3 * len(chosen))
    with tempfile.TemporaryDirectory() as folder:
        paths = chosen_photographs(given, Path(folder))
        for network in chosen:
            print(f"{network.title} ({len(network.layers)} tensors, {SIZE} x {SIZE})")
            agreement(network, paths, Path(folder))


if __name__ == "__main__":
    main()
