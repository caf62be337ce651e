"""A process that embeds the same photographs once for each line that it reads, and answers with the seconds and the
processor seconds. It is one engine of onnx_speed.py's table.

All of them give the averages of the same layers. Those that begin with files decode by OpenCV on as many threads as
there are processors, while the network runs, but for libfne, which decodes by itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from engines import timed

SIZE = 224
#: ImageNet's, for pixels from 0 to 255.
MEAN = np.float32([123.675, 116.28, 103.53])
SCALE = 1 / np.float32([58.395, 57.12, 57.375])
PROCESSORS = len(os.sched_getaffinity(0))
#: The layers of two engines are the same where they differ by less, as a share of a layer's largest value.
SAME = 1e-3

Features = Callable[[Any], Any]
Run = Callable[[], Any]


# ---- photographs


def read(path: str) -> Any:
    """A photograph as the network is fed with it, float32 [3, height, width]."""
    import cv2

    image = cv2.cvtColor(cv2.resize(cv2.imread(path), (SIZE, SIZE)), cv2.COLOR_BGR2RGB)
    return ((image.astype(np.float32) - MEAN) * SCALE).transpose(2, 0, 1)


def batches(paths: list[str], size: int) -> Iterator[Any]:
    """Batches [n, 3, height, width] in order. Threads read the next ones meanwhile."""
    import cv2

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(PROCESSORS) as pool:
        images = pool.map(read, paths)
        for first in range(0, len(paths), size):
            yield np.stack([next(images) for _ in paths[first : first + size]])


def reading(job: dict[str, Any]) -> tuple[Run, Features | None]:
    """Reads alone, without a network."""
    return lambda: [None for _ in batches(job["paths"], 8)], None


# ---- libfne


def libfne(job: dict[str, Any]) -> tuple[Run, Features | None]:
    """From files."""
    extractor = _extractor(job)
    return lambda: extractor.extract(job["paths"]).features, lambda paths: extractor.extract(paths).features


def libfne_tensors(job: dict[str, Any]) -> tuple[Run, Features | None]:
    """From tensors that are ready, in the layout that libfne takes."""
    import fne

    def ready(paths: list[str]) -> Any:
        return np.ascontiguousarray(np.concatenate(list(batches(paths, 8))).transpose(0, 2, 3, 1))

    extractor = fne.Extractor(job["onnx"], size=(SIZE, SIZE), preset="raw")
    images = ready(job["paths"])
    return lambda: extractor.extract(images).features, lambda paths: extractor.extract(ready(paths)).features


def _extractor(job: dict[str, Any]) -> Any:
    import fne

    # Stretched, bilinear, as OpenCV resizes in `read`.
    return fne.Extractor(job["onnx"], size=(SIZE, SIZE), mean=MEAN.tolist(), scale=SCALE.tolist())


# ---- ONNX Runtime's Python


def onnxruntime_maps(job: dict[str, Any]) -> tuple[Run, Features | None]:
    """From files. Every layer's map is fetched, and averaged by NumPy. The best batch size."""
    session = _session(job["maps"], 0)

    def features(batch: Any) -> Any:
        maps = session.run(None, {session.get_inputs()[0].name: batch})
        return np.concatenate([_mean(values, axis) for values, axis in zip(maps, job["axes"], strict=True)], 1)

    return _from_files(job, features)


def _mean(values: Any, axis: int) -> Any:
    others = tuple(each for each in range(1, values.ndim) if each != axis)
    return values.mean(others) if others else values


def onnxruntime_bare(job: dict[str, Any]) -> tuple[Run, Features | None]:
    """From tensors that are ready, by a file that averages by itself. The best of batch sizes and of ways to use the
    processors: one run on all of them, or one on each."""
    images = np.ascontiguousarray(np.concatenate(list(batches(job["paths"], 8))))
    all_threads, one_thread = _session(job["pooled"], 0), _session(job["pooled"], 1)
    name = all_threads.get_inputs()[0].name
    pool = ThreadPoolExecutor(PROCESSORS)

    def together(size: int, images: Any = images) -> Any:
        return np.concatenate([all_threads.run(None, {name: part})[0] for part in _parts(images, size)])

    def apart(size: int, images: Any = images) -> Any:
        runs = pool.map(lambda part: one_thread.run(None, {name: part})[0], _parts(images, size))
        return np.concatenate(list(runs))

    ways = [lambda images, size=size: together(size, images) for size in (4, 8, 16, 32)]
    ways += [lambda images, size=size: apart(size, images) for size in (1, 2, 4, 8)]
    best = _fastest(ways, images[: len(images) // 2])
    return lambda: best(images), lambda paths: together(4, np.concatenate(list(batches(paths, 8))))


def _parts(images: Any, size: int) -> list[Any]:
    return [images[first : first + size] for first in range(0, len(images), size)]


def _session(path: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# ---- others


def openvino(job: dict[str, Any]) -> tuple[Run, Features | None]:
    """From files, by a file that averages by itself. Throughput mode in float32, with as many requests in flight as it
    asks for. The best batch size."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(job["pooled"])

    def of_size(size: int) -> Features:
        model.reshape([size, 3, SIZE, SIZE])
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        queue = ov.AsyncInferQueue(core.compile_model(model, "CPU", hints))
        rows: dict[int, Any] = {}
        queue.set_callback(lambda request, place: rows.__setitem__(place, request.get_output_tensor().data.copy()))

        def features(paths: list[str]) -> Any:
            rows.clear()
            for place, batch in enumerate(batches(paths, size)):
                missing = size - len(batch)
                queue.start_async(np.concatenate([batch, np.zeros_like(batch[:1]).repeat(missing, 0)]), place)
            queue.wait_all()
            return np.concatenate([rows[place] for place in sorted(rows)])[: len(paths)]

        return features

    best = _fastest([of_size(size) for size in (1, 4, 8)], job["paths"][: len(job["paths"]) // 2])
    return lambda: best(job["paths"]), best


def torch_hooks(job: dict[str, Any]) -> tuple[Run, Features | None]:
    """From files, by forward hooks that average. The best batch size, and the better of the two layouts.

    The hooks are on the modules whose outputs are the layers, which their values show.
    """
    import torch
    import torch_networks

    network = torch_networks.build(job["network"])
    images, expected = torch.from_numpy(np.stack([read(path) for path in job["few"]])), np.load(job["expected"])
    hooked = _Hooks(network, images, expected, job["columns"])

    def of(layout: Any) -> Features:
        def features(batch: Any) -> Any:
            with torch.inference_mode():
                return hooked(torch.from_numpy(batch).contiguous(memory_format=layout))

        return features

    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network.to(memory_format=layout)
        run, features = _from_files(job, of(layout))
        found.append((timed(run), layout, run, features))
    _, layout, run, features = min(found, key=lambda each: each[0])
    network.to(memory_format=layout)
    return run, features


class _Hooks:
    """Averages what modules give, as they give it. A later module may write over it."""

    def __init__(self, network: Any, images: Any, expected: Any, columns: list[tuple[int, int]]) -> None:
        import torch

        self._network = network
        self._calls: dict[str, int] = {}
        self._wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}
        self._found: dict[int, Any] = {}
        candidates: dict[tuple[str, int, int], Any] = {}

        def record(name: str, place: int, output: Any) -> None:
            for axis in {1, output.ndim - 1}:
                candidates[name, place, axis] = self._average(output, axis)

        handles = [module.register_forward_hook(self._hook(name, record)) for name, module in network.named_modules()]
        with torch.inference_mode():
            network(images)
        for handle in handles:
            handle.remove()
        for layer, (first, last) in enumerate(columns):
            block = expected[:, first:last]
            same = [at for at, rows in candidates.items() if rows.shape == block.shape and _differ(rows, block) < SAME]
            if not same:
                raise SystemExit(f"no module of PyTorch gives the layer {layer}")
            name, place, axis = same[0]
            self._wanted.setdefault((name, place), []).append((layer, axis))
        for name in {name for name, _ in self._wanted}:
            network.get_submodule(name).register_forward_hook(self._hook(name, self._keep))

    def _hook(self, name: str, take: Callable[[str, int, Any], None]) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            place = self._calls[name] = self._calls.get(name, -1) + 1
            if hasattr(output, "ndim") and output.ndim >= 2:
                take(name, place, output)

        return hook

    def _keep(self, name: str, place: int, output: Any) -> None:
        for layer, axis in self._wanted.get((name, place), []):
            self._found[layer] = self._average(output, axis)

    @staticmethod
    def _average(output: Any, axis: int) -> Any:
        others = [each for each in range(1, output.ndim) if each != axis]
        # A copy: the next module may write over a vector.
        return (output.mean(others) if others else output.clone()).numpy()

    def __call__(self, images: Any) -> Any:
        self._calls.clear()
        self._found.clear()
        self._network(images)
        return np.concatenate([self._found[layer] for layer in sorted(self._found)], 1)


def _differ(rows: Any, others: Any) -> float:
    return float(np.abs(rows - others).max() / max(np.abs(others).max(), 1e-30))


# ---- common


def _from_files(job: dict[str, Any], features: Features) -> tuple[Run, Features]:
    """By the best batch size."""

    def of_size(size: int) -> Features:
        return lambda paths: np.concatenate([features(batch) for batch in batches(paths, size)])

    best = _fastest([of_size(size) for size in (4, 8, 16, 32)], job["paths"][: len(job["paths"]) // 2])
    return lambda: best(job["paths"]), best


def _fastest(ways: list[Features], some: Any) -> Features:
    def seconds(way: Features) -> float:
        way(some)
        return min(timed(lambda: way(some)) for _ in range(2))

    return min(ways, key=seconds)


def main() -> None:
    job = json.loads(sys.argv[1])
    run, features = globals()[job["engine"]](job)
    if features is not None:
        np.save(job["rows"], features(job["few"]))
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        before = time.process_time()
        seconds = timed(run)
        print(seconds, time.process_time() - before, flush=True)


if __name__ == "__main__":
    main()
