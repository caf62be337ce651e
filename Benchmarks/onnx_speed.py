"""Compares libfne on ONNX Runtime with others on the same network: `onnx_speed.py PHOTOGRAPHS [NETWORK ...]`.

The networks are those of torchvision and timm with random weights. It prints lines of a markdown table. "from files" is
from JPEG files to the averages of all layers, and "from tensors" begins with what the network is fed with.

- libfne, with its defaults
- onnxruntime's Python, every layer's map fetched and averaged by NumPy
- OpenVINO, on a file that averages by itself
- PyTorch, with forward hooks that average
- the bare session: onnxruntime on the file that averages by itself, fed with ready tensors. It is the bound: libfne
  from tensors may take at most 1.03 of its time.
- the bound from files: the bare session's time, and that of reading the photographs without a network

Each engine is a process of its own, and chooses its best batch size. They take turns with libfne. Speeds are medians,
and ratios are medians of the rounds' ratios, with the least and the most. The last column has the ratios of processor
time, which a busy machine disturbs less. Before any is timed, the averages of a few photographs must be libfne's. An
engine that does not run is left out, such as OpenVINO where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch_networks
from figures import figure, left_out, print_at_once, ratios, taking_turns
from onnx import TensorProto, helper
from onnx_engines import SAME, SIZE
from processes import Engine, NotRunning
from progress import progress

import fne

NETWORKS = ("resnet50", "mobilenet_v3_large", "convnext_tiny", "vit_small_patch16_224")
#: Engine and title. The first gives the values that the others are compared with.
ENGINES = {
    "libfne": "libfne",
    "libfne_tensors": "libfne, from tensors",
    "onnxruntime_bare": "the bare session, from tensors",
    "onnxruntime_maps": "onnxruntime, maps averaged by NumPy",
    "openvino": "OpenVINO, float32",
    "torch_hooks": "PyTorch, forward hooks",
    "reading": "reading alone",
}
OWN = ("libfne", "libfne_tensors", "reading")
FEW = 3
#: Seconds before each run. The threads of onnxruntime's Python spin on for 35 ms after a run, and would take a
#: processor from the engine that comes next.
REST = 0.3


class Layers(NamedTuple):
    """The layers of a network, in libfne's order: their names, the axes of their channels, their columns in a row."""

    names: list[str]
    ranks: list[int]
    axes: list[int]
    columns: list[tuple[int, int]]


def layers_of(path: Path) -> Layers:
    model = fne.Model(path)
    tensors = model.tensors()
    shapes = dict(zip([tensor.name for tensor in tensors], model.shapes(size=SIZE), strict=True))
    with fne.Extractor(model, size=(SIZE, SIZE), preset="raw") as extractor:
        found = [(layer.name, layer.features) for layer in extractor.layers]
    dense = {tensor.name for tensor in tensors if tensor.kind == "dense"}
    ranks, axes = [], []
    for name, columns in found:
        shape = shapes[name] or ()
        axis = len(shape) - 1 if name in dense else 1
        if shape[axis] != columns.stop - columns.start:
            raise SystemExit(f"the layer {name} has the shape {shape}")
        ranks.append(len(shape))
        axes.append(axis)
    return Layers([name for name, _ in found], ranks, axes, [(part.start, part.stop) for _, part in found])


def with_maps(path: Path, layers: Layers, out: Path) -> None:
    """The file with every layer as an output."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in layers.names)
    onnx.save(model, out)


def with_averages(path: Path, layers: Layers, out: Path) -> None:
    """The file with the averages of the layers as its only output, [n, F]."""
    model = onnx.load(path)
    del model.graph.output[:]
    nodes = []
    for number, (name, rank, axis) in enumerate(zip(layers.names, layers.ranks, layers.axes, strict=True)):
        part = f"average {number}"
        others = [each for each in range(1, rank) if each != axis]
        if rank == 4 and axis == 1:
            nodes.append(helper.make_node("GlobalAveragePool", [name], [f"map {number}"]))
            nodes.append(helper.make_node("Flatten", [f"map {number}"], [part]))
        elif others:
            nodes.append(helper.make_node("ReduceMean", [name], [part], axes=others, keepdims=0))
        else:
            nodes.append(helper.make_node("Identity", [name], [part]))
    parts = [f"average {number}" for number in range(len(layers.names))]
    nodes.append(helper.make_node("Concat", parts, ["features"], axis=1))
    model.graph.node.extend(nodes)
    model.graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", None]))
    onnx.save(model, out)


class Compared:
    """A process of onnx_engines.py, started and warm, and what it gave for a few photographs."""

    def __init__(self, job: dict[str, Any], folder: Path) -> None:
        rows = folder / f"{job['engine']}.npy"
        program = Path(__file__).with_name("onnx_engines.py")
        self._engine = Engine([sys.executable, program, json.dumps({**job, "rows": str(rows)})])
        self.rows = np.load(rows) if rows.exists() else None

    def seconds(self) -> tuple[float, float]:
        """Seconds and processor seconds of a run, after a rest."""
        time.sleep(REST)
        seconds, processor = self._engine.ask().split()
        return float(seconds), float(processor)

    def close(self) -> None:
        self._engine.close()


def largest_difference(rows: Any, others: Any, layers: Layers) -> float:
    """As a share of the largest value of its layer."""
    parts = [(rows[:, slice(*columns)], others[:, slice(*columns)]) for columns in layers.columns]
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in parts)


def measured(name: str, paths: list[str], rounds: int, wanted: list[str], folder: Path) -> list[str]:
    """The lines of the table for a network.

    Args:
        wanted: the engines, of those in ENGINES
    """
    path = folder / "network.onnx"
    torch_networks.export(torch_networks.build(name), "TorchScript", SIZE, path)
    layers = layers_of(path)
    with_maps(path, layers, folder / "maps.onnx")
    with_averages(path, layers, folder / "pooled.onnx")
    job: dict[str, Any] = {"network": name, "onnx": str(path), "paths": paths, "few": paths[:FEW]}
    job |= {file: str(folder / f"{file}.onnx") for file in ("maps", "pooled")}
    job |= {"axes": layers.axes, "columns": layers.columns, "expected": str(folder / "libfne.npy")}
    engines: dict[str, Compared] = {}
    lines = []
    try:
        for kind, title in ENGINES.items():
            if kind not in wanted:
                continue
            progress.step(name, f"starting {title}")
            try:
                engines[kind] = Compared({**job, "engine": kind}, folder)
            except NotRunning as failure:
                if kind in OWN:
                    raise
                left_out(f"{name}, {title}", str(failure))
                continue
            if engines[kind].rows is None:
                continue
            difference = largest_difference(engines[kind].rows, engines["libfne"].rows, layers)
            if difference > SAME:
                raise SystemExit(f"{title} gives other values: {difference:.1e} of a layer's largest")
            lines.append(f"{title} {difference:.1e}")
        print(f"{name}: largest differences from libfne: {', '.join(lines)}", file=sys.stderr, flush=True)
        ways = {kind: engine.seconds for kind, engine in engines.items()}
        return table(name, len(paths), taking_turns(ways, rounds, 0, progress.rounds(name, rounds)))
    finally:
        for engine in engines.values():
            engine.close()


def table(name: str, images: int, found: dict[str, list[tuple[float, float]]]) -> list[str]:
    """The lines of a network. `found` has the seconds and processor seconds of each engine by round."""

    def line(title: str, theirs: list[tuple[float, float]], ours: list[tuple[float, float]] | None) -> str:
        speed = figure(f"{name}, {title}, speed", "images/s", [images / seconds for seconds, _ in theirs], 0)
        if ours is None:
            return f"| {name} | {title} | {speed} | | |"
        kinds = ("libfne's time of its time", "libfne's processor time of its")
        texts = [
            figure(
                f"{name}, {title}, {kind}", "ratio", ratios([each[at] for each in ours], [each[at] for each in theirs])
            )
            for at, kind in enumerate(kinds)
        ]
        return f"| {name} | {title} | {speed} | {' | '.join(texts)} |"

    own = {kind: found[kind] for kind in ("libfne", "libfne_tensors")}
    lines = [
        line(f"libfne, {what}", own[kind], None) for kind, what in zip(own, ("from files", "from tensors"), strict=True)
    ]
    for kind, title in ENGINES.items():
        if kind not in OWN and kind in found:
            lines.append(line(title, found[kind], own["libfne_tensors" if kind == "onnxruntime_bare" else "libfne"]))
    if "onnxruntime_bare" in found:
        parts = zip(found["onnxruntime_bare"], found["reading"], strict=True)
        bound = [(bare[0] + read[0], bare[1] + read[1]) for bare, read in parts]
        lines.append(line("the bound from files", bound, own["libfne"]))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photographs", type=Path, help="a folder of JPEG files")
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="of torchvision or timm")
    parser.add_argument("--images", type=int, default=64, help="photographs of each run (64), taken evenly")
    parser.add_argument("--rounds", type=int, default=7)
    others = [kind for kind in ENGINES if kind not in OWN]
    parser.add_argument("--engines", nargs="*", default=others, choices=others, help="the others (all)")
    given = parser.parse_args()
    paths = [str(path) for path in fne.list_images(given.photographs)]
    paths = paths[:: max(1, len(paths) // given.images)][: given.images]
    print_at_once()
    progress.plan(len(given.networks) * (given.rounds + len(OWN) + len(given.engines)))
    print("| network | engine | images per second | libfne's time of the engine's | processor time |")
    print("|---|---|---|---|---|")
    for name in given.networks:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            for line in measured(name, paths, given.rounds, [*OWN, *given.engines], Path(folder)):
                print(line)


if __name__ == "__main__":
    main()
