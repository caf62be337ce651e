"""Images per second of libfne and of others, side by side. A part of `make bench`.

Everything is loaded and has run before. Each engine is a process of its own and takes turns with libfne in float32,
which includes the same: from files, or from tensors. Speeds are medians. Ratios are medians of the rounds' ratios, so
that they hold on a noisy machine.

The original runs twice, with TensorFlow's oneDNN and without it. Wheels of TensorFlow for Linux on x86 have it on by
default since 2.9, and libfne turns it on in each. So the ratio depends on the original's TensorFlow alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from figures import figure, left_out, ratios, spread, taking_turns
from machine import ONEDNN_VARIABLE
from networks import FOLDER, PEERS, ROOT, SIZE, Network
from processes import Engine, NotRunning
from progress import progress
from settings import chosen_networks, chosen_photographs, evenly, parse, parser

FILES, TENSORS = "files to codes", "tensors to rows"
ORIGINAL = {"1": "the original, with oneDNN", "0": "the original, without oneDNN"}
BASE = "libfne, float32"


class Row(NamedTuple):
    """A row of the table: who, what it includes, its Python, its job of engines.py, and variables."""

    title: str
    scope: str
    python: str | Path
    job: dict[str, Any]
    variables: tuple[tuple[str, str], ...] = ()

    def start(self, base: dict[str, Any]) -> Engine:
        environment = {**os.environ, **dict(self.variables)}
        if self.python == PEERS:
            environment.pop("PYTHONPATH", None)  # the peers have the original's package, which has the same name
        return Engine([self.python, ROOT / "Benchmarks/engines.py", json.dumps(base | self.job)], environment)


def rows_of_the_table(network: Network) -> list[Row]:
    own = sys.executable
    bfloat16 = {"precision": "bfloat16"}
    rows = [
        *(
            Row(title, FILES, own, {"engine": "implementation_a"}, ((ONEDNN_VARIABLE, value),))
            for value, title in ORIGINAL.items()
        ),
        Row("libfne, bfloat16", FILES, own, {"engine": "libfne", "options": bfloat16}),
        Row("TensorFlow, Session.run", TENSORS, own, {"engine": "tensorflow"}),
        Row("libfne, bfloat16", TENSORS, own, {"engine": "libfne_tensors", "options": bfloat16}),
    ]
    return rows + (_peers(network) if PEERS.exists() else [])


def _peers(network: Network) -> list[Row]:
    rows = []
    if network.twin:
        twin = {"twin": network.twin}
        rows.append(Row("fne 1.1.1 (PyTorch), batch 32", FILES, PEERS, {"engine": "original_torch"} | twin))
        for name, half in (("float32", False), ("bfloat16", True)):
            job = {"engine": "torchvision_extractor", "bfloat16": half}
            rows.append(Row(f"torchvision, {name}", TENSORS, PEERS, job | twin))
    onnx = network.onnx(PEERS)
    if onnx:
        rows.append(Row("ONNX Runtime", TENSORS, PEERS, {"engine": "onnxruntime", "onnx": str(onnx)}))
        for name, half in (("float32", False), ("its default", True)):
            job = {"engine": "openvino", "onnx": str(onnx), "bfloat16": half}
            rows.append(Row(f"OpenVINO, {name}", TENSORS, PEERS, job))
    return rows


class Measured(NamedTuple):
    """What was measured of a row: seconds of each round, and those of libfne in float32 beside it, which includes the
    same."""

    title: str
    scope: str
    seconds: list[float]
    ours: list[float]

    @property
    def ratios(self) -> list[float]:
        """The speed, over that of libfne in float32 in the same rounds."""
        return ratios(self.ours, self.seconds)


#: libfne in float32, which all rows that include the same take turns with.
OWN = {FILES: "libfne", TENSORS: "libfne_tensors"}


def measured(network: Network, rows: list[Row], paths: list[str], rounds: int) -> list[tuple[Measured, str]]:
    """What was measured, and the line of the table for it. A row's figures are kept when it is done."""
    base = {"graph": str(network.path), "layers": network.layers, "paths": paths, "options": {}}
    found: list[tuple[Measured, str]] = []

    def keep(each: Measured) -> None:
        name = f"{network.title}, {each.title}, {each.scope}"
        speeds = figure(f"{name}, speed", "images/s", [len(paths) / seconds for seconds in each.seconds], 1)
        relation = figure(f"{name}, times libfne in float32", "ratio", each.ratios)
        found.append((each, f"  {each.title:31s} {each.scope:15s} {speeds:>24s} {relation:>24s}"))

    for scope, engine in OWN.items():
        libfne = Row(BASE, scope, sys.executable, {"engine": engine}).start(base)
        beside = []
        for row in (row for row in rows if row.scope == scope):
            each = _in_turns(f"{network.title}, {row.title}, {scope}", row, base, libfne, rounds)
            if each is not None:
                keep(each)
                beside += each.ours
        libfne.close()
        if beside:
            keep(Measured(BASE, scope, beside, beside))
    return found


def _in_turns(name: str, row: Row, base: dict[str, Any], libfne: Engine, rounds: int) -> Measured | None:
    """What a row takes beside libfne. None where its engine does not run, which is noted."""
    progress.step(name, "getting warm")
    try:
        engine = row.start(base)
        texts = taking_turns({"ours": libfne.ask, "theirs": engine.ask}, rounds, 0, progress.rounds(name, rounds))
    except NotRunning as failure:
        left_out(name, str(failure))
        return None
    engine.close()
    times = {whose: [float(text) for text in each] for whose, each in texts.items()}
    return Measured(row.title, row.scope, times["theirs"], times["ours"])


def table(network: Network, found: list[tuple[Measured, str]]) -> None:
    """Prints the rows, and how many times as fast as the original libfne is."""
    print(f"  {'':31s} {'':15s} {'images/s':>24s} {'x libfne in float32':>24s}")
    for _, line in sorted(found, key=lambda pair: (pair[0].scope, -spread(pair[0].ratios).median)):
        print(line)
    from_files = {each.title: each.ratios for each, _ in found if each.scope == FILES}
    for title in filter(from_files.__contains__, ORIGINAL.values()):
        for own in filter(from_files.__contains__, (BASE, "libfne, bfloat16")):
            # libfne in float32 is 1 in each round. It has the rounds of all engines.
            theirs = from_files[title]
            times = ratios(from_files[own][: len(theirs)], theirs)
            relation = figure(f"{network.title}, {own}, times {title}", "ratio", times)
            print(f"  {own}: {relation} times as fast as {title}")


# ---- the plot

PLOT = """
import json, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
results = json.load(open(sys.argv[1]))
figure, axes = plt.subplots(1, len(results), figsize=(4.2 * len(results), 4.6), layout="constrained")
for axis, (title, rows) in zip(axes if len(results) > 1 else [axes], results.items()):
    rows = sorted(rows, key=lambda row: row["speed"])
    names = [row["engine"] + (" *" if row["scope"] == "files to codes" else "") for row in rows]
    colours = ["#d1495b" if "libfne" in row["engine"] else "#8d99ae" for row in rows]
    bars = axis.barh(names, [row["speed"] for row in rows], color=colours)
    axis.bar_label(bars, [f"{row['speed']:.0f}" for row in rows], padding=2, fontsize=8)
    axis.set_title(title, fontsize=10)
    axis.tick_params(labelsize=8)
    axis.margins(x=0.15)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
scopes = "* from JPEG files to ternary codes, others from tensors in memory to pooled features"
figure.supxlabel(f"images per second; {scopes}", fontsize=9)
figure.savefig(sys.argv[2], dpi=110)
"""


def plot(results: dict[str, Any]) -> None:
    """Draws the speeds, with those that former runs measured on other networks."""
    known = FOLDER / "speed.json"
    if known.exists():
        results = json.loads(known.read_text()) | results
    known.write_text(json.dumps(results, indent=1))
    if PEERS.exists():
        subprocess.run([PEERS, "-c", PLOT, known, FOLDER / "speed.png"], check=True)
        print(f"plot: {(FOLDER / 'speed.png').relative_to(ROOT)}")


def main() -> None:
    given = parse(parser(__doc__))
    if not PEERS.exists():
        left_out("ONNX Runtime, OpenVINO, torchvision, fne 1.1.1", "no peers are installed (make bench-peers)")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = chosen_photographs(given, Path(folder))
        chosen = chosen_networks(given)
        rows = [rows_of_the_table(network) for network in chosen]
        progress.plan(sum(map(len, rows)) * (given.rounds + 1))
        for network, wanted in zip(chosen, rows, strict=True):
            some = evenly(paths, 32 if given.quick else network.images)
            print(f"{network.title} ({len(network.layers)} tensors, {SIZE} x {SIZE}), {len(some)} photographs")
            found = measured(network, wanted, some, given.rounds)
            table(network, found)
            results[network.title] = [
                {"engine": each.title, "scope": each.scope, "speed": len(some) / spread(each.seconds).median}
                for each, _ in found
            ]
    if not given.quick:
        plot(results)


if __name__ == "__main__":
    main()
