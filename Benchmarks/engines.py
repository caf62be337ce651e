"""A process that embeds the same photographs once for each line that it reads, and answers with the seconds. It is one
engine of the benchmark's table, and runs in the project's Python or in the peers'."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZE = 224
Run = Callable[[], Any]


def read(path: str) -> Any:
    import cv2
    import numpy as np

    image = cv2.resize(cv2.imread(path), (SIZE, SIZE))
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32)


def tensors(paths: list[str]) -> Any:
    import numpy as np

    return np.stack([read(path) for path in paths])


# ---- from files to ternary values


def implementation_a(job: dict[str, Any]) -> Run:
    sys.path.insert(0, str(ROOT / "Tests/python"))
    import implementation_a as a

    network = a.Network(a.load_graph(job["graph"]), "input:0", job["layers"], SIZE, SIZE)
    return lambda: a.embed(network.pooled(job["paths"], 32))


def libfne(job: dict[str, Any]) -> Run:
    import numpy as np

    import fne

    extractor = fne.Extractor(job["graph"], "input:0", job["layers"], (SIZE, SIZE), **job["options"])

    def run() -> None:
        pooled = extractor.extract(job["paths"]).features
        collected = fne.Statistics(pooled.shape[1]).update(pooled)
        fne.ternarize(pooled, collected.mean(), collected.std()).astype(np.float64)

    return run


def original_torch(job: dict[str, Any]) -> Run:
    """fne 1.1.1 as it documents its use, in eval mode, one batch of 32 after the other."""
    import numpy as np
    import torch
    import torchvision

    from fne.fne_torch import FullNetworkEmbedding

    model = _twin(job["twin"])
    layers = [
        n for n, m in model.named_modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)) and "aux" not in n
    ]

    class Photographs(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(job["paths"])

        def __getitem__(self, index: int) -> Any:
            image = torchvision.io.decode_image(job["paths"][index])
            return torchvision.transforms.functional.resize(image, [SIZE, SIZE]).float() / 255, 0

    class Nothing:
        def fit(self, features: Any, labels: Any) -> None:
            assert np.isfinite(features).all()

    embedding = FullNetworkEmbedding(model, layers, Nothing()).eval()
    loader = torch.utils.data.DataLoader(Photographs(), batch_size=32)
    return lambda: embedding.fit(loader)


# ---- from tensors in memory to pooled features


def libfne_tensors(job: dict[str, Any]) -> Run:
    import fne

    extractor = fne.Extractor(job["graph"], "input:0", job["layers"], (SIZE, SIZE), **job["options"])
    batch = tensors(job["paths"])
    return lambda: extractor.extract(batch)


def tensorflow(job: dict[str, Any]) -> Run:
    """Session.run with the layers averaged and joined in the graph, TensorFlow's defaults, the best batch size."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(Path(job["graph"]).read_bytes())
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
        tf.import_graph_def(definition, name="", input_map={"input:0": x})
        parts = [graph.get_tensor_by_name(name) for name in job["layers"]]
        parts = [tf.reduce_mean(part, [1, 2]) if part.shape.rank == 4 else part for part in parts]
        features = tf.concat(parts, 1)
        run = tf.compat.v1.Session(graph=graph).make_callable(features, [x])
    return _best_batch(job, lambda batch: run(batch))


def torchvision_extractor(job: dict[str, Any]) -> Run:
    """create_feature_extractor with convolution and normalization fused, channels last."""
    import torch
    import torch.fx.experimental.optimization
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    model = torch.fx.experimental.optimization.fuse(_twin(job["twin"]))
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    layers = {name for name, module in model.named_modules() if isinstance(module, kinds)}
    nodes = [name for name in get_graph_node_names(model)[1] if name in layers and "aux" not in name]
    extractor = create_feature_extractor(model, nodes).eval().to(memory_format=torch.channels_last)
    precision = torch.bfloat16 if job["bfloat16"] else torch.float32
    extractor = extractor.to(precision)

    def features(batch: Any) -> Any:
        with torch.inference_mode():
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).to(precision)
            parts = [part.mean((2, 3)) if part.ndim == 4 else part for part in extractor(x).values()]
            return torch.cat(parts, 1).float().numpy()

    return _best_batch(job, features)


def onnxruntime(job: dict[str, Any]) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
    return _best_batch(job, lambda batch: session.run(None, {session.get_inputs()[0].name: batch}))


def openvino(job: dict[str, Any]) -> Run:
    """Throughput mode with as many requests in flight as it asks for; float32, or the precision that it chooses."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(job["onnx"])
    batches = tensors(job["paths"])
    runs = []
    for size in (1, 4, 8):
        model.reshape([size, SIZE, SIZE, 3])
        hints = {"PERFORMANCE_HINT": "THROUGHPUT"} | ({} if job["bfloat16"] else {"INFERENCE_PRECISION_HINT": "f32"})
        queue = ov.AsyncInferQueue(core.compile_model(model, "CPU", hints))

        def run(queue: Any = queue, size: int = size) -> None:
            for first in range(0, len(batches), size):
                queue.start_async(batches[first : first + size])
            queue.wait_all()

        runs.append(run)
    return _fastest(runs)


def _twin(name: str) -> Any:
    import torch
    import torchvision

    torch.manual_seed(1)
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return getattr(torchvision.models, name)(weights=None, **extra).eval()


def _best_batch(job: dict[str, Any], run: Callable[[Any], Any]) -> Run:
    batch = tensors(job["paths"])

    def of_size(size: int) -> Run:
        return lambda: [run(batch[first : first + size]) for first in range(0, len(batch), size)]

    return _fastest([of_size(size) for size in (4, 8, 16, 32) if size <= len(batch)])


def _fastest(runs: list[Run]) -> Run:
    def seconds(run: Run) -> float:
        run()
        return min(timed(run) for _ in range(2))

    return min(runs, key=seconds)


def timed(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    job = json.loads(sys.argv[1])
    run = globals()[job["engine"]](job)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(timed(run), flush=True)


if __name__ == "__main__":
    main()
