"""Prints how long one image takes, alone: `latency.py NETWORK.onnx PHOTOGRAPH`.

--graph FILE.pb adds libfne on TensorFlow. The ONNX file has one input, "images", float32 [n, 3, side, side]. Each line
is a process of its own: libfne with goal="latency" and by default, from a JPEG in memory and from BGR pixels, in Python
and in C, and beside it the runs of ONNX Runtime's Python on a tensor (the network's scores, and the pooled layers that
libfne gives) and OpenVINO's latency mode. They take turns, and each has the same number of rounds. Medians, 99th
percentiles and the processor time of a frame are in milliseconds. The second table is of 30 frames a second, between
which threads may spin. The last table is what a call takes beside the
engine's run, on a network of one small convolution, and the page faults of a call, which memory that is taken anew
would show.

--openvino names a folder in which OpenVINO is installed (pip install --target).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy
from figures import figure, left_out, print_at_once, taking_turns
from processes import Engine, NotRunning
from progress import progress

import fne
from fne._libpath import onnxruntime_library, tensorflow_library

ROOT = Path(__file__).resolve().parents[1]
BUILD = f"-O2 -Ibuild/include Benchmarks/latency.c -Lbuild/lib -lfne -Wl,-rpath,{ROOT}/build/lib"
FRAMES = 40
TENSOR = "float32 tensor"


def timed(call: Callable[[], Any], frames: int, pace: float = 0.0) -> dict[str, Any]:
    """The milliseconds of each call, the processor time of one, and its page faults.

    Args:
        pace: seconds from the start of a call to that of the next one; 0 begins it at once
    """
    for _ in range(5):
        call()
    found = []
    before, processor = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    for _ in range(frames):
        start = time.perf_counter()
        call()
        found.append(1e3 * (time.perf_counter() - start))
        time.sleep(max(0.0, start + pace - time.perf_counter()))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "calls": found,
        "processor": 1e3 * (time.process_time() - processor) / frames,
        "faults": (after.ru_minflt - before.ru_minflt) / frames,
    }


# ---- what is measured, each in a process of its own


def libfne(job: dict[str, Any]) -> Callable[[], Any]:
    side = job["side"]
    extractor = fne.Extractor(job["network"], size=(side, side), mean=114.0, scale=1 / 58, **job["options"])
    encoded = Path(job["photograph"]).read_bytes()
    pixels = numpy.ascontiguousarray(fne.resize(fne.read_image(encoded), (side, side)))
    images: Any = {"JPEG": [encoded], "pixels": [pixels], TENSOR: extractor.preprocess(pixels)}[job["from"]]
    return lambda: extractor.extract(images)


def onnxruntime(job: dict[str, Any]) -> Callable[[], Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = job["threads"]
    session = ort.InferenceSession(job["network"], options, providers=["CPUExecutionProvider"])
    fed = {"images": _tensor(job["side"])}
    return lambda: session.run(None, fed)


def openvino(job: dict[str, Any]) -> Callable[[], Any]:
    import openvino as ov

    core = ov.Core()
    model = core.read_model(job["network"])
    model.reshape([1, 3, job["side"], job["side"]])
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    fed = [_tensor(job["side"])]
    return lambda: request.infer(fed)


def _tensor(side: int) -> Any:
    return numpy.random.default_rng(0).normal(size=(1, 3, side, side)).astype(numpy.float32)


def serve(job: dict[str, Any]) -> None:
    """Measures once for each line that is read."""
    call = globals()[job["kind"]](job)
    call()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(timed(call, job["frames"], job.get("pace", 0.0))), flush=True)


# ---- the tables


def pooled(network: str, folder: Path) -> str:
    """The network with the maps that libfne takes as outputs, averaged by ONNX Runtime as libfne has them averaged."""
    import onnx
    from onnx import helper

    model = onnx.load(network)
    with fne.Model(network) as opened:
        layers = [
            tensor.name
            for tensor, shape in zip(opened.tensors(), _shapes(opened), strict=True)
            if tensor.is_default and shape is not None and len(shape) == 4
        ]
    parts = []
    for number, layer in enumerate(layers):
        parts.append(f"pooled_{number}")
        model.graph.node.append(helper.make_node("GlobalAveragePool", [layer], [parts[-1]]))
    model.graph.node.append(helper.make_node("Concat", parts, ["pooled"], axis=1))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("pooled", onnx.TensorProto.FLOAT, None))
    onnx.save(model, folder / "pooled.onnx")
    return str(folder / "pooled.onnx")


def _shapes(model: fne.Model) -> list[tuple[int, ...] | None]:
    return model.shapes(size=(224, 224))


def tiny(side: int, folder: Path) -> str:
    """A network that takes next to no time."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(numpy.ones((4, 3, 1, 1), numpy.float32), "weights")
    nodes = [
        helper.make_node("Conv", ["images", "weights"], ["map"], strides=[side // 2] * 2),
        helper.make_node("Relu", ["map"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
    ]
    entry = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, side, side])
    result = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", 4, 1, 1])
    graph = helper.make_graph(nodes, "tiny", [entry], [result], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "tiny.onnx")
    return str(folder / "tiny.onnx")


def measured(jobs: dict[str, list[str] | dict[str, Any]], rounds: int, environment: dict[str, str]) -> dict[str, Any]:
    """What the processes found, which take turns. A job is the command of a program, or a job of `serve`."""
    engines = {}
    for name, job in jobs.items():
        progress.step("one image", f"starting {name}")
        command = job if isinstance(job, list) else [sys.executable, __file__, "--serve", json.dumps(job)]
        try:
            engines[name] = Engine(command, environment)
        except NotRunning as failure:
            left_out(f"one image, {name}", str(failure))

    def one(engine: Engine) -> dict[str, Any]:
        time.sleep(0.05)  # threads that spin on after a run must not disturb the next process
        result: dict[str, Any] = json.loads(engine.ask())
        return result

    ways = {name: partial(one, engine) for name, engine in engines.items()}
    found = taking_turns(ways, rounds, 0, progress.rounds("one image", rounds))
    for engine in engines.values():
        engine.close()
    return {
        name: {
            "calls": [of["calls"] for of in parts],
            "processor": [of["processor"] for of in parts],
            "faults": [of["faults"] for of in parts],
        }
        for name, parts in found.items()
    }


def show(subject: str, found: dict[str, Any], last: str, unit: str) -> None:
    """Prints a table. The medians are of the rounds' medians, with their range, and the percentiles of all calls."""
    print(f"| {subject} | median, ms | 99th percentile, ms | {unit} |\n|---|---|---|---|")
    for name, each in found.items():
        title = f"{subject}, {name}"
        median = figure(f"{title}, median", "ms", [statistics.median(calls) for calls in each["calls"]])
        share = figure(f"{title}, 99th percentile", "ms", float(numpy.percentile(numpy.concatenate(each["calls"]), 99)))
        print(f"| {name} | {median} | {share} | {figure(f'{title}, {last}', unit, each[last])} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("network", nargs="?", help="an ONNX file")
    parser.add_argument("photograph", nargs="?", help="a JPEG")
    parser.add_argument("--graph", help="the same network, or another one, as a frozen GraphDef")
    parser.add_argument("--openvino", help="the folder in which OpenVINO is installed")
    parser.add_argument("--side", type=int, default=224, help="of the network's images")
    parser.add_argument("--threads", type=int, default=min(len(os.sched_getaffinity(0)), 16))
    parser.add_argument("--without-overhead", action="store_true", help="leave the last table out")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each round ({FRAMES})")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    if given.serve:
        return serve(json.loads(given.serve))
    print_at_once()
    paths = [str(ROOT / "bindings/python"), given.openvino, os.environ.get("PYTHONPATH")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "FNE_ONNXRUNTIME": os.path.dirname(onnxruntime_library() or ""),
        "FNE_TENSORFLOW": tensorflow_library() or "",
    }
    base = {"network": given.network, "photograph": given.photograph, "side": given.side, "frames": given.frames}
    latency = {"kind": "libfne", "options": {"goal": "latency", "engine_threads": given.threads}}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "latency"
        subprocess.run(["gcc", *BUILD.split(), "-o", str(program)], check=True, cwd=ROOT)

        def in_c(network: str, source: str) -> list[str]:
            return [
                str(program),
                network,
                given.photograph,
                str(given.side),
                source,
                str(given.frames),
                str(given.threads),
            ]

        jobs: dict[str, Any] = {}
        networks = {"ONNX Runtime": given.network}
        if given.graph:
            networks[f"TensorFlow ({Path(given.graph).stem})"] = given.graph
        for engine, network in networks.items():
            ours = {**base, "network": network, "options": {}}
            jobs[f"libfne by default on {engine}, pixels"] = {**ours, "kind": "libfne", "from": "pixels"}
            for source in ("pixels", "JPEG"):
                jobs[f"libfne on {engine}, Python, {source}"] = {**ours, **latency, "from": source}
                jobs[f"libfne on {engine}, C, {source}"] = in_c(network, source)
        theirs = {**base, "threads": given.threads, "kind": "onnxruntime"}
        jobs["onnxruntime's Python, scores, tensor"] = theirs
        jobs["onnxruntime's Python, pooled layers, tensor"] = {**theirs, "network": pooled(given.network, Path(folder))}
        if not given.openvino and importlib.util.find_spec("openvino") is None:
            left_out("one image, OpenVINO", "it is not installed (make bench-peers, or --openvino)")
        else:
            jobs["OpenVINO, latency mode, scores, tensor"] = {**theirs, "kind": "openvino"}
        progress.plan(2 * (given.rounds + len(jobs)))
        subject = Path(given.network).stem
        show(subject, measured(jobs, given.rounds, environment), "processor", "processor ms a frame")
        paced = {
            "libfne, Python, pixels": {**base, "options": {}, **latency, "from": "pixels", "pace": 1 / 30},
            "onnxruntime's Python, whose threads spin on, scores, tensor": {**theirs, "pace": 1 / 30},
        }
        found = measured(paced, given.rounds, environment)
        show(f"{subject} at 30 frames a second", found, "processor", "processor ms a frame")
        if given.without_overhead:
            return
        small = {**base, "network": tiny(given.side, Path(folder))}
        jobs = {
            "onnxruntime's Python, tensor": {**theirs, **small},
            "libfne, Python, tensor": {**small, **latency, "from": TENSOR},
            "libfne, Python, pixels": {**small, **latency, "from": "pixels"},
            "libfne, C, pixels": in_c(small["network"], "pixels"),
        }
        show("a tiny network", measured(jobs, given.rounds, environment), "faults", "page faults a frame")


if __name__ == "__main__":
    main()
