"""Prints the figures that README and docs quote, side by side in one run.

    make bench                     with the default network, ResNet-50, VGG16 and the sample photographs
    make bench ASSETS=folder       also with folder/models/*.pb (each with its NAME.layers.txt: kind, tensor, shape) and
                                   the photographs below folder/images
    make bench-peers               installs what libfne is compared with (PyTorch, ONNX Runtime, OpenVINO, ...)
    make bench ONLY=speed          one part: library agreement speed cold start postprocess memory precision jobs codes

Implementation A is the documented function, run by TensorFlow's Python (Tests/python/implementation_a.py). Speeds are
medians. Ratios are medians of the ratios of neighbouring runs, so that they hold on a noisy machine. Each engine of the
table is a process of its own, and takes turns with libfne.
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
from typing import Any

from jobs import job_figures
from networks import FOLDER, ROOT, SIZE, Network, networks, photographs

sys.path.insert(0, str(ROOT / "Tests/python"))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)

LIBRARY = ROOT / "build/lib/libfne.so.2"
PEERS = ROOT / ".build/peers/bin/python"


# ---- the library


def library_facts() -> None:
    print("libfne.so")
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


# ---- agreement


def agreement(network: Network, paths: list[str], folder: Path) -> None:
    """Ternary values and statistics against implementation A: from Python, and from the C example."""
    import implementation_a
    import numpy as np

    import fne
    from fne._libpath import tensorflow_library

    graph = implementation_a.load_graph(network.path)
    reference = implementation_a.Network(graph, "input:0", network.layers, SIZE, SIZE)
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

    with fne.Extractor(network.path, "input:0", network.layers, (SIZE, SIZE)) as extractor:
        rows = extractor.extract(paths).features
    near = np.mean(np.abs(rows - pooled) <= 1e-4 * np.abs(pooled).max(0))
    print(f"  pooled values within 1e-4 of their feature's largest: {near:.7%}")
    collected = fne.Statistics(rows.shape[1]).update(rows)
    mean, std = collected.mean(), collected.std()
    report("Python", fne.ternarize(rows, mean, std), np.stack([mean, std]), slice(None))

    # The C example takes the default layers: all but the classifier's, which is the last of the list if it is there.
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


# ---- speed


class Engine:
    """A process of engines.py, started and warm."""

    def __init__(self, python: str | Path, job: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [python, ROOT / "Benchmarks/engines.py", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        line = ""
        while (line := self.process.stdout.readline()) not in ("ready\n", ""):
            pass
        if not line:
            raise RuntimeError((self.process.stderr.read().strip().splitlines() or ["no word"])[-1])

    def seconds(self) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


FILES, TENSORS = "files to codes", "tensors to rows"
OWN = sys.executable


def rows_of_the_table(network: Network) -> list[tuple[str, str, str | Path, dict[str, Any]]]:
    """Title, what it includes, Python, job."""
    bfloat16 = {"precision": "bfloat16"}
    rows: list[tuple[str, str, str | Path, dict[str, Any]]] = [
        ("implementation A, batch 32", FILES, OWN, {"engine": "implementation_a"}),
        ("libfne, bfloat16", FILES, OWN, {"engine": "libfne", "options": bfloat16}),
        ("TensorFlow, Session.run", TENSORS, OWN, {"engine": "tensorflow"}),
        ("libfne, float32", TENSORS, OWN, {"engine": "libfne_tensors"}),
        ("libfne, bfloat16", TENSORS, OWN, {"engine": "libfne_tensors", "options": bfloat16}),
    ]
    if PEERS.exists():
        if network.twin:
            twin = {"twin": network.twin}
            rows.append(("fne 1.1.1 (PyTorch), batch 32", FILES, PEERS, {"engine": "original_torch"} | twin))
            for name, half in (("float32", False), ("bfloat16", True)):
                job = {"engine": "torchvision_extractor", "bfloat16": half}
                rows.append((f"torchvision, {name}", TENSORS, PEERS, job | twin))
        onnx = network.onnx(PEERS)
        if onnx:
            rows.append(("ONNX Runtime", TENSORS, PEERS, {"engine": "onnxruntime", "onnx": str(onnx)}))
            for name, half in (("float32", False), ("its default", True)):
                job = {"engine": "openvino", "onnx": str(onnx), "bfloat16": half}
                rows.append((f"OpenVINO, {name}", TENSORS, PEERS, job))
    return rows


def speed(network: Network, paths: list[str], rounds: int) -> list[dict[str, Any]]:
    """Everything loaded and run before. Each engine beside libfne in float32 from files."""
    paths = paths[:: max(1, len(paths) // network.images)][: network.images]
    base = {"graph": str(network.path), "layers": network.layers, "paths": paths, "options": {}}
    libfne = Engine(OWN, base | {"engine": "libfne"})
    own: list[float] = []
    results = []
    for title, scope, python, job in rows_of_the_table(network):
        try:
            engine = Engine(python, base | job)
        except RuntimeError as failure:
            print(f"  {title}: left out, the table is incomplete: {failure}")
            continue
        pairs = [(libfne.seconds(), engine.seconds()) for _ in range(rounds)]
        engine.close()
        own += [ours for ours, _ in pairs]
        results.append(
            {
                "engine": title,
                "scope": scope,
                "speed": len(paths) / statistics.median(theirs for _, theirs in pairs),
                "ratio": statistics.median(ours / theirs for ours, theirs in pairs),
                "ratios": sorted(ours / theirs for ours, theirs in pairs),
            }
        )
    libfne.close()
    results.append(
        {
            "engine": "libfne, float32",
            "scope": FILES,
            "speed": len(paths) / statistics.median(own),
            "ratio": 1.0,
            "ratios": [1.0],
        }
    )
    if not PEERS.exists():
        print("  the table is incomplete: no peers are installed (make bench-peers)")
    a = next((row["ratio"] for row in results if row["engine"].startswith("implementation A")), None)
    print(f"  {'':31s} {'':15s} {'images/s':>8s} {'x libfne float32 from files':>28s} {'x A':>6s}")
    for row in sorted(results, key=lambda row: (row["scope"], -row["ratio"])):
        spread = f"({row['ratios'][0]:.2f} to {row['ratios'][-1]:.2f})"
        times_a = f"{row['ratio'] / a:6.2f}" if a and row["scope"] == FILES else ""
        print(
            f"  {row['engine']:31s} {row['scope']:15s} {row['speed']:8.1f} {row['ratio']:12.2f} {spread:>15s} {times_a}"
        )
    return results


# ---- whole processes

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


# Peak of resident memory in kB. Not getrusage's, in which that of the process before exec lives on.
PEAK = """
def peak():
    return int([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


def whole_process(
    program: str, network: Network, paths: list[str], folder: Path, bfloat16: bool = False
) -> tuple[float, float]:
    """Seconds from the start of a process to its end, and its peak of resident memory in GB."""
    text = program.format(
        tests=str(ROOT / "Tests/python"),
        graph=str(network.path),
        layers=network.layers,
        paths=paths,
        size=SIZE,
        out=str(folder / "cold.npy"),
        bfloat16=bfloat16,
    )
    script = folder / "cold.py"
    script.write_text(text + PEAK + "print('PEAK', peak())\n")
    start = time.perf_counter()
    out = subprocess.run(
        [sys.executable, script], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - start
    return seconds, int(re.findall(r"PEAK (\d+)", out.stdout)[-1]) / 1e6


def cold(network: Network, paths: list[str], folder: Path, rounds: int) -> None:
    """Whole processes, from their start to the written result: implementation A, libfne, libfne in bfloat16."""
    kinds = [("A", COLD_A, False), ("libfne", COLD_OURS, False), ("bfloat16", COLD_OURS, True)]
    runs = [[whole_process(program, network, paths, folder, half) for _, program, half in kinds] for _ in range(rounds)]
    line = f"  {len(paths):3d} photograph{'s' * (len(paths) > 1)}:"
    for number, (name, _, _) in enumerate(kinds):
        seconds = statistics.median(run[number][0] for run in runs)
        ratio = statistics.median(run[0][0] / run[number][0] for run in runs)
        peak = statistics.median(run[number][1] for run in runs)
        line += f"  {name} {seconds:.2f} s, {peak:.2f} GB" + (f" (ratio {ratio:.2f})" if number else "") + ";"
    print(line.rstrip(";"))


# ---- post-processing


def postprocess(rounds: int) -> None:
    """Standardize and ternarize, float32 to int8, on one thread, and exact statistics, beside numpy."""
    import implementation_a
    import numpy as np

    import fne

    x = np.random.default_rng(1).random((2048, 8280), np.float32)
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    copy, codes = np.empty_like(x), np.empty(x.shape, np.int8)

    def copying() -> None:
        np.copyto(copy, x)

    def ours() -> None:
        fne.ternarize(x, mean, std, out=codes)

    def original() -> None:
        implementation_a.embed(x.astype(np.float64), np.stack([mean, std]))

    def collected() -> None:
        fne.Statistics(x.shape[1]).update(x)

    def seconds(function: Any) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    for function in (copying, ours, original, collected):
        function()
    rows = [[seconds(function) for function in (copying, ours, original, collected)] for _ in range(rounds)]
    bandwidth = statistics.median(row[0] / row[1] for row in rows)
    times = statistics.median(row[2] / row[1] for row in rows)
    print(f"post-processing of {x.shape[0]} x {x.shape[1]} float32 ({x.nbytes / 1e6:.0f} MB), one thread")
    print(f"  ternarize: {bandwidth:.2f} of the speed of numpy's copy, {times:.1f} times the original's numpy code")
    print(f"  exact statistics: {statistics.median(row[3] for row in rows) / x.size * 1e9:.2f} ns a value")


# ---- memory

MEMORY = """
import numpy as np
import fne
paths = ({paths!r} * 100)[:{count}]
stats = np.load({stats!r}) if {given!r} else None
features, stats = fne.full_network_embedding({graph!r}, paths, 16, None, None, ({size}, {size}), stats)
np.save({stats!r}, stats)
print(peak() / 1e3, features.nbytes / 1e6, len(paths) * features.shape[1] * 4 / 1e6)
"""


def memory(network: Network, paths: list[str], folder: Path) -> None:
    """Peak resident memory of 500 and of 5,000 images, with and without given statistics."""
    print(f"peak resident memory, {network.title}")
    for given in (False, True):
        peaks = []
        for count in (500, 5000):
            script = folder / "memory.py"
            script.write_text(
                PEAK
                + MEMORY.format(
                    paths=paths[:500],
                    count=count,
                    given=given,
                    graph=str(network.path),
                    size=SIZE,
                    stats=str(folder / "s.npy"),
                )
            )
            out = subprocess.run([sys.executable, script], check=True, stdout=subprocess.PIPE, text=True).stdout
            peaks.append([float(number) for number in out.split()])
        (few, few_out, few_rows), (many, many_out, many_rows) = peaks
        allowed = many_out - few_out + (0 if given else many_rows - few_rows)
        print(
            f"  {'with statistics given' if given else 'computing statistics'}: 500 images {few:.0f} MB, 5000 images "
            f"{many:.0f} MB: {many - few:.0f} MB more; the output{'' if given else ' and the float32 rows'} "
            f"grew by {allowed:.0f} MB"
        )


# ---- precision


def precision(network: Network, paths: list[str]) -> None:
    """The curve of speed and agreement, where flips are, and what a classifier makes of it."""
    import numpy as np

    import fne

    options = json.loads(network.options)

    def embedded(**choice: Any) -> tuple[Any, Any, float]:
        with fne.Extractor(network.path, None, None, (SIZE, SIZE), **options, **choice) as extractor:
            extractor.extract(paths[:16])
            start = time.perf_counter()
            rows = extractor.extract(paths).features
            seconds = time.perf_counter() - start
            layers = extractor.layers
        collected = fne.Statistics(rows.shape[1]).update(rows)
        return rows, (collected.mean(), collected.std(), layers), seconds

    exact, (mean, std, layers), _ = embedded()
    codes = fne.ternarize(exact, mean, std)
    labels = np.array([Path(path).parent.name for path in paths])
    accuracy = _accuracy(codes, labels)
    print(
        f"{network.title}: bfloat16 beside float32" + (f"; SVM on float32's codes {accuracy:.2%}" if accuracy else "")
    )
    for first in (0, 1, 2, 3, 6, 12, len(layers)):
        _, _, plain = embedded()
        rows, (own_mean, own_std, _), seconds = embedded(precision="bfloat16", float32_layers=first)
        fast = fne.ternarize(rows, own_mean, own_std)
        equal = np.mean(fast == codes)
        line = f"  first {first:2d} layers float32: {plain / seconds:.2f} times as fast, {equal:.2%} equal"
        if accuracy:
            line += f", SVM {_accuracy(fast, labels):.2%}"
        print(line)
        if first != 2:
            continue
        flips = fast != codes
        by_layer = [flips[:, layer.features].mean() for layer in layers]
        print(
            "    flips by fifths of the layers: "
            + ", ".join(f"{np.mean(part):.2%}" for part in np.array_split(by_layer, 5))
        )
        z = np.abs((exact - mean) / np.where(std > 0, std, 1))[..., None] - [0.25, 0.15]
        near = np.abs(z).min(-1)
        for limit in (0.01, 0.03, 0.1):
            share, flipped = np.mean(near <= limit), flips[near <= limit].sum() / flips.sum()
            print(f"    within {limit} of a threshold: {share:.1%} of the values, {flipped:.1%} of the flips")
        spread = std / np.maximum(np.abs(mean), 1e-30)
        constant = spread <= np.quantile(spread, 0.1)
        print(
            f"    the tenth of the features that varies least (std / mean up to {spread[constant].max():.2g}): "
            f"{flips[:, constant].sum() / flips.sum():.1%} of the flips"
        )


def _accuracy(codes: Any, labels: Any) -> float | None:
    """Of a linear SVM, in five folds; None for photographs without classes."""
    if len(set(labels)) < 2:
        return None
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.svm import LinearSVC

    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    return float(cross_val_score(LinearSVC(C=1e-3), codes, labels, cv=folds).mean())


# ---- the whole

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

PARTS = ["library", "agreement", "speed", "cold", "postprocess", "memory", "precision", "jobs", "codes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--network", help="only networks whose title starts so")
    arguments = parser.parse_args()

    def wanted(part: str) -> bool:
        return not arguments.only or part in arguments.only

    line = re.search(r"^ \*     (gcc .*)$", (ROOT / "bindings/c/embed.c").read_text(), re.MULTILINE)
    assert line is not None
    subprocess.run(line.group(1), shell=True, check=True, cwd=ROOT)
    if wanted("library"):
        library_facts()
    if wanted("postprocess"):
        postprocess(arguments.rounds)
    if wanted("codes"):
        python = PEERS if PEERS.exists() else sys.executable
        subprocess.run([python, ROOT / "Benchmarks/codes.py", str(arguments.rounds)], check=True)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = photographs(arguments.assets, folder)
        few = paths[:: max(1, len(paths) // 64)][:64]
        more = paths[:: max(1, len(paths) // 96)][:96]
        chosen = [n for n in networks(arguments.assets) if n.title.startswith(arguments.network or "")]
        for network in chosen:
            real = "random" not in network.title
            if any(wanted(part) for part in ("agreement", "speed", "cold")):
                print(f"{network.title} ({len(network.layers)} tensors, {SIZE} x {SIZE})", flush=True)
            if wanted("agreement") and real:
                agreement(network, paths, folder)
            if wanted("speed"):
                results[network.title] = speed(network, more, arguments.rounds)
            if wanted("cold"):
                for photos in ([few] if real else []) + [few[:1]]:
                    cold(network, photos, folder, 3 if real else 1)
            if wanted("precision") and real:
                precision(network, paths)
        if wanted("memory"):
            memory(chosen[0], paths, folder)
        if wanted("jobs"):
            job_figures(chosen[0].path, chosen[0].title, SIZE, paths, arguments.rounds)
            fastest = arguments.assets and arguments.assets / "models/mobilenet_v1_0.25_128.pb"
            if fastest and fastest.exists():
                job_figures(fastest, "MobileNet V1 0.25", 128, paths, arguments.rounds)
    if results:
        FOLDER.mkdir(parents=True, exist_ok=True)
        if (FOLDER / "speed.json").exists():  # of runs with other networks
            results = json.loads((FOLDER / "speed.json").read_text()) | results
        (FOLDER / "speed.json").write_text(json.dumps(results, indent=1))
        if PEERS.exists():
            subprocess.run([PEERS, "-c", PLOT, FOLDER / "speed.json", FOLDER / "speed.png"], check=True)
            print(f"plot: {(FOLDER / 'speed.png').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
