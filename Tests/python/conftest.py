"""Fixtures: photographs, and graphs that are small but of every layer kind."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# libfne switches oneDNN on before it loads TensorFlow. A test process may import tensorflow first, which would leave it
# off on processors without AVX-512 VNNI: rows of this process and of those that it starts would differ in their last
# bits.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import cv2
import numpy as np
import pytest

import fne

ROOT = Path(__file__).resolve().parents[2]


# Parts with requirements of their own (`make extras`): what is not installed is left out, and named.
EXTRAS = {
    "test_distributed.py": ("ray", "pyspark", "dask", "distributed", "pyarrow", "pandas"),
    "test_export.py": ("pyarrow", "pandas"),
    "test_export_libraries.py": ("faiss", "datasets"),
    "test_cluster_faults.py": ("ray", "pyspark"),
    "test_clusters.py": ("ray", "pyspark"),
    "test_fne_torch.py": ("torch", "torchvision"),
    "test_kubernetes.py": ("yaml",),
    "test_ray_parquet.py": ("ray",),
    "test_spark_ml.py": ("pyspark",),
    "test_tf_keras.py": ("tf_keras",),
    "test_torch.py": ("torch", "torchvision", "onnxscript"),
    "test_torch_clusters.py": ("ray", "pyspark", "torch", "torchvision", "onnxscript"),
    "test_torch_zoo.py": ("torch", "torchvision", "timm"),
    "test_types.py": ("ray", "pyspark", "torch"),
}
LEFT_OUT = {
    file: [name for name in packages if importlib.util.find_spec(name) is None] for file, packages in EXTRAS.items()
}
collect_ignore = [file for file, missing in LEFT_OUT.items() if missing]


def pytest_terminal_summary(terminalreporter):
    for file, missing in LEFT_OUT.items():
        if missing:
            terminalreporter.write_line(f"left out: {file}, as {', '.join(missing)} is not installed (make extras)")


def pytest_sessionfinish(session, exitstatus):
    """A skipped test counts as absent, unless it is on the list with its reason."""
    listed = (ROOT / "Tests/python/allowed_skips.txt").read_text().splitlines()
    allowed = {line.split(": ")[0] for line in listed if line and not line.startswith("#")}
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = {report.nodeid for report in reporter.stats.get("skipped", [])}
    if skipped - allowed:
        reporter.write_line(f"skipped, but not on the list of allowed skips: {sorted(skipped - allowed)}", red=True)
        session.exitstatus = 1


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory):
    """Converted networks of the tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """24 JPEG files: tiles of the sample photographs, of several sizes and qualities."""
    folder = tmp_path_factory.mktemp("photographs")
    paths = []
    for number, source in enumerate(fne.zoo.sample_images()):
        image = cv2.imread(source)
        height, width = image.shape[:2]
        for part in range(3):
            top, left = (part * height) // 8, (part * width) // 6
            tile = image[top : top + height // 2 + 7 * number, left : left + width // 2 + 5 * part]
            paths.append(folder / f"{number}-{part}.jpg")
            cv2.imwrite(str(paths[-1]), tile, [cv2.IMWRITE_JPEG_QUALITY, 75 + 5 * part])
    assert len(paths) == 24
    return paths


def small_network(height=48, width=64):
    """A GraphDef with convolution, batch normalization, depthwise convolution, residual sum, dense layers, softmax.

    Returns it with the tensors that FNE takes and the classifier's scores."""
    import tensorflow as tf

    random = np.random.default_rng(7)

    def weights(*shape):
        return random.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32)

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, height, width, 3], "input")
        y = tf.nn.conv2d(x / 64 - 2, weights(5, 5, 3, 24), 2, "SAME", name="conv1")
        y = tf.compat.v1.nn.fused_batch_norm(
            y,
            np.full(24, 1.5, np.float32),
            weights(24),
            weights(24),
            np.full(24, 0.7, np.float32),
            is_training=False,
            name="norm1",
        )[0]
        y = shortcut = tf.nn.relu(y, "relu1")
        y = tf.nn.depthwise_conv2d(y, weights(3, 3, 24, 1), [1, 1, 1, 1], "SAME", name="depthwise")
        y = tf.nn.relu6(tf.nn.bias_add(y, weights(24), name="depthwise_bias"), "relu2")
        y = tf.nn.bias_add(tf.nn.conv2d(y, weights(1, 1, 24, 24), 1, "SAME", name="project"), weights(24), name="bias3")
        y = tf.add(y, shortcut, "sum")
        y = tf.nn.max_pool2d(y, 2, 2, "SAME")
        y = tf.nn.conv2d(y, weights(3, 3, 24, 40), 2, "VALID", name="conv4")
        y = tf.multiply(y, tf.sigmoid(y, name="gate"), "swish4")
        y = tf.reduce_mean(y, [1, 2], name="pool")
        y = tf.nn.relu(tf.matmul(y, weights(40, 32), name="dense5") + weights(32), "relu5")
        y = tf.nn.bias_add(tf.matmul(y, weights(32, 10), name="dense6"), weights(10), name="scores")
        tf.nn.softmax(y, name="probabilities")
    taps = ["relu1", "relu2", "bias3", "swish4", "relu5"]
    return graph.as_graph_def(), [name + ":0" for name in taps], "scores:0"


@pytest.fixture(scope="session")
def network():
    return small_network()


@pytest.fixture(scope="session")
def graph(tmp_path_factory, network):
    """The small network as a file."""
    path = tmp_path_factory.mktemp("graph") / "network.pb"
    path.write_bytes(network[0].SerializeToString())
    return path


@pytest.fixture(scope="session")
def lite0():
    """The default network's GraphDef file."""
    return fne.zoo.efficientnet_lite0()
