"""Prints the figures that README and docs quote: libfne against implementation A (the documented function, run by
TensorFlow's Python, see Tests/python/implementation_a.py), side by side in one run.

    make bench                     with the default network and the sample photographs
    make bench ASSETS=folder       also with folder/models/*.pb (each with its NAME.layers.txt: kind, tensor, shape) and
                                   the photographs below folder/images

Speeds are medians; ratios are medians of the ratios of neighbouring runs, so that they hold on a noisy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/python"))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)

LIBRARY = ROOT / "build/lib/libfne.so.2"


class Network:
    """A graph, its input size, and the tensors to take."""

    def __init__(self, path: Path, layers: list[str], size: int) -> None:
        self.path, self.layers, self.size = path, layers, size

    @property
    def name(self) -> str:
        return self.path.stem


def networks(assets: Path | None) -> list[Network]:
    import fne

    lite0 = fne.zoo.efficientnet_lite0()
    result = [Network(lite0, [layer.name + ":0" for layer in fne.Model(lite0).layers()], 224)]
    if assets is None:
        return result
    for name in ("bvlc_googlenet", "mobilenet_v2_1.0_224"):
        path = assets / "models" / (name + ".pb")
        lines = [line.split("\t") for line in path.with_name(name + ".layers.txt").read_text().splitlines()]
        result.append(Network(path, [tensor for kind, tensor, *_ in lines if kind != "OUTPUT"], 224))
    return result


def photographs(assets: Path | None, folder: Path) -> list[str]:
    if assets is not None:
        return sorted(str(path) for path in (assets / "images/flowers17").rglob("*.jpg"))
    import cv2

    import fne

    paths = []
    for source in fne.zoo.sample_images():
        image = cv2.resize(cv2.imread(source), (500, 375))
        for part in range(8):
            paths.append(str(folder / f"{len(paths)}.jpg"))
            cv2.imwrite(paths[-1], image[part * 3 :, part * 5 :])
    return paths


# ---- agreement


def agreement(network: Network, paths: list[str], folder: Path) -> None:
    """Ternary values and statistics against implementation A: from Python, and from the C example."""
    import implementation_a
    import numpy as np

    import fne
    from fne._libpath import tensorflow_library

    graph = implementation_a.load_graph(network.path)
    reference = implementation_a.Network(graph, "input:0", network.layers, network.size, network.size)
    pooled = reference.pooled(paths, 32)
    expected, expected_stats = implementation_a.embed(pooled)

    def report(source: str, features: np.ndarray, stats: np.ndarray, columns: slice) -> None:
        wanted, wanted_stats = expected[:, columns], expected_stats[:, columns]
        errors = [abs(stats[i] - wanted_stats[i]).max() / abs(wanted_stats[i]).max() for i in (0, 1)]
        print(
            f"  {source:9s} {features.shape[0]} images x {features.shape[1]} features: "
            f"{np.mean(features == wanted):.7%} equal, {int(np.sum(features != wanted))} differ; "
            f"mean within {errors[0]:.1e}, deviation within {errors[1]:.1e} of the largest"
        )

    features, stats = fne.full_network_embedding(
        network.path, paths, 16, "input:0", network.layers, (network.size, network.size)
    )
    report("Python", features, stats, slice(None))

    # The C example takes the default layers: all but the classifier's, which is the last of the list if it is there.
    defaults = [layer.name + ":0" for layer in fne.Model(network.path).layers()]
    assert network.layers[: len(defaults)] == defaults
    out = folder / "out.npy"
    subprocess.run(
        [ROOT / "build/embed", network.path, "input:0", f"{network.size}x{network.size}", out, *paths],
        check=True,
        stdout=subprocess.DEVNULL,
        env=dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library() or "")),
    )
    codes = np.load(out)
    report("C", codes, np.load(folder / "out.stats.npy"), slice(codes.shape[1]))


# ---- speed


def worker(kind: str, path: str, layers: list[str], size: int, paths: list[str]) -> None:
    """A process that embeds the photographs once for each line that it reads, and answers with the seconds."""
    import numpy as np

    if kind == "a":
        import implementation_a

        network = implementation_a.Network(implementation_a.load_graph(path), "input:0", layers, size, size)

        def run() -> None:
            implementation_a.embed(network.pooled(paths, 32))
    else:
        import fne

        extractor = fne.Extractor(path, "input:0", layers, (size, size), batch_size=int(kind))

        def run() -> None:
            pooled = extractor.extract(paths).features
            collected = fne.Statistics(pooled.shape[1]).update(pooled)
            fne.ternarize(pooled, collected.mean(), collected.std()).astype(np.float64)

    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


class Worker:
    """One of these processes, started and warm."""

    def __init__(self, kind: str, network: Network, paths: list[str], **environment: str) -> None:
        arguments = json.dumps([kind, str(network.path), network.layers, network.size, paths])
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | environment,
        )
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def seconds(self) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def warm(network: Network, paths: list[str], rounds: int) -> None:
    """From JPEG files to ternary values, everything loaded and run once before. Each in a process of its own, with its
    own defaults, taking turns."""
    workers = {
        "A, batch 32": Worker("a", network, paths),
        "A, batch 32, oneDNN on": Worker("a", network, paths, TF_ENABLE_ONEDNN_OPTS="1"),
    } | {f"libfne, batch {batch}": Worker(str(batch), network, paths) for batch in (8, 16, 32)}
    rows = [{name: worker.seconds() for name, worker in workers.items()} for _ in range(rounds)]
    for worker in workers.values():
        worker.process.kill()
        worker.process.communicate()

    def ratio(above: str, below: str) -> str:
        ratios = [row[above] / row[below] for row in rows]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"

    for name in workers:
        speed = len(paths) / statistics.median(row[name] for row in rows)
        line = f"  {name:23s} {speed:6.1f} images/s"
        if name.startswith("libfne"):
            line += f", times A: {ratio('A, batch 32', name)}, A with oneDNN: {ratio('A, batch 32, oneDNN on', name)}"
        print(line)


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
from fne import full_network_embedding
features, stats = full_network_embedding({graph!r}, {paths!r}, 16, "input:0", {layers!r}, ({size}, {size}))
np.save({out!r}, features)
np.save({out!r} + ".stats.npy", stats)
"""


def cold(network: Network, paths: list[str], folder: Path, rounds: int) -> None:
    """Whole processes, from their start to the written result."""

    def timed(program: str) -> float:
        text = program.format(
            tests=str(ROOT / "Tests/python"), graph=str(network.path), layers=network.layers, paths=paths,
            size=network.size, out=str(folder / "cold.npy"),
        )  # fmt: skip
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", text], check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start

    a, ours = [], []
    for _ in range(rounds):
        a.append(timed(COLD_A))
        ours.append(timed(COLD_OURS))
    ratio = statistics.median(x / y for x, y in zip(a, ours, strict=True))
    print(
        f"  {len(paths)} photograph{'s' * (len(paths) > 1)}: A {statistics.median(a):.2f} s, "
        f"libfne {statistics.median(ours):.2f} s, ratio {ratio:.2f}"
    )


def library_facts() -> None:
    needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.check_output(["readelf", "-d", LIBRARY], text=True))
    symbols = subprocess.check_output(["nm", "-D", "--defined-only", LIBRARY], text=True)
    exported = re.findall(r" [A-Z] (fne_\w+)", symbols)
    print(f"  needs {', '.join(needed)}")
    print(f"  {len(exported)} exported functions, {LIBRARY.stat().st_size / 1e6:.2f} MB")
    program = (
        "import ctypes, time; s = time.perf_counter(); "
        f"ctypes.CDLL({str(LIBRARY)!r}).fne_version_number(); print(time.perf_counter() - s)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(9)]
    print(f"  ctypes.CDLL and a first call: {statistics.median(times) * 1000:.1f} ms")
    program = "import numpy, time; s = time.perf_counter(); import fne; print(time.perf_counter() - s)"
    times = [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(9)]
    print(f"  import fne, beyond numpy: {statistics.median(times) * 1000:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["library", "agreement", "warm", "cold"])
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*json.loads(arguments.worker))
        return

    def wanted(part: str) -> bool:
        return arguments.only in (None, part)

    line = re.search(r"^ \*     (gcc .*)$", (ROOT / "bindings/c/embed.c").read_text(), re.MULTILINE)
    assert line is not None
    subprocess.run(line.group(1), shell=True, check=True, cwd=ROOT)
    if wanted("library"):
        print("libfne.so")
        library_facts()
    if arguments.only == "library":
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = photographs(arguments.assets, folder)
        few = paths[:: max(1, len(paths) // 64)][:64]
        for network in networks(arguments.assets):
            print(f"{network.name} ({len(network.layers)} tensors, {network.size} x {network.size})")
            if wanted("agreement"):
                agreement(network, paths, folder)
            if wanted("warm"):
                warm(network, few, arguments.rounds)
            if wanted("cold"):
                cold(network, few, folder, arguments.rounds)
                cold(network, few[:1], folder, arguments.rounds)


if __name__ == "__main__":
    main()
