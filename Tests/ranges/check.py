"""The main job on whatever Python, NumPy and TensorFlow are there, against TensorFlow itself and NumPy. Whatever ONNX
Runtime is there is loaded.

Needs these four and the package, nothing else. `Tests/ranges/run` calls it at both ends of the supported ranges."""

from __future__ import annotations

import pickle
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

import fne

HEIGHT, WIDTH = 40, 56


def network(tf):
    """A small GraphDef, and the function that gives its layers' pooled activations."""
    random = np.random.default_rng(3)
    kernels = [
        random.normal(0, 0.2, shape).astype(np.float32)
        for shape in ((3, 3, 3, 8), (3, 3, 8, 1), (1, 1, 8, 12), (12, 5))
    ]
    graph = tf.Graph()
    with graph.as_default():
        fed = tf.compat.v1.placeholder(tf.float32, [None, HEIGHT, WIDTH, 3], name="input")
        a = tf.nn.relu(
            tf.nn.bias_add(tf.nn.conv2d(fed / 128 - 1, kernels[0], 2, "SAME"), np.linspace(-1, 1, 8, dtype=np.float32)),
            name="a",
        )
        b = tf.nn.relu6(tf.nn.depthwise_conv2d(a, kernels[1], [1, 1, 1, 1], "SAME"), name="b")
        c = tf.nn.relu(tf.nn.conv2d(b, kernels[2], 1, "SAME"), name="c")
        tf.nn.softmax(tf.matmul(tf.reduce_mean(c, (1, 2)), kernels[3], name="scores"), name="classes")

    def pooled(images):
        with tf.compat.v1.Session(graph=graph) as session:
            return np.concatenate([x.mean((1, 2)) for x in session.run([a, b, c], {fed: images})], 1)

    return graph.as_graph_def(), pooled


def main() -> None:
    with_tensorflow_first = len(sys.argv) > 1
    if with_tensorflow_first:
        import tensorflow as tf  # libfne then uses the copy that is in the process
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (9, HEIGHT, WIDTH, 3), dtype=np.uint8)
    if not with_tensorflow_first:
        fne.load_backend()
        import tensorflow as tf
    graph_def, reference = network(tf)
    expected = reference(images.astype(np.float32))

    model = fne.Model(graph_def)
    assert [layer.name for layer in model.layers()] == ["a", "b", "c"]
    extractor = fne.Extractor(model)
    rows = extractor.extract(list(images)).features
    assert rows.dtype == np.float32 and rows.shape == (9, 28)
    np.testing.assert_allclose(rows, expected, atol=2e-5)

    statistics = fne.Statistics(28).update(rows[:4]).merge(fne.Statistics(28).update(rows[4:]))
    statistics = pickle.loads(pickle.dumps(statistics))
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(statistics.mean(), wide.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.std(), wide.std(0), rtol=1e-9)
    z = (wide - wide.mean(0)) / wide.std(0)
    codes = fne.ternarize(rows, statistics.mean(), statistics.std())
    near = np.minimum(abs(z - 0.15), abs(z + 0.25)) < 1e-9
    assert (
        codes.dtype == np.int8 and (codes == (z > 0.15).astype(int) - (z < -0.25))[~near].all() and near.mean() < 0.01
    )
    packed = fne.PackedCodes.pack(codes)
    np.testing.assert_array_equal(packed.gram(), codes.astype(int) @ codes.T.astype(int))
    np.testing.assert_array_equal(packed.unpack(), codes)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "network.pb").write_bytes(graph_def.SerializeToString())
        for number, image in enumerate(images):
            (folder / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
        paths = sorted(folder.glob("*.png"))
        np.testing.assert_array_equal(fne.read_image(paths[2]), images[2])
        job = fne.embed_dataset(paths, folder / "network.pb", folder / "job")
        np.testing.assert_array_equal(job.codes(), codes)
        embedded, stats = fne.full_network_embedding(
            str(folder / "network.pb"), [str(path) for path in paths], 4, "import/input:0", None, (HEIGHT, WIDTH)
        )
        np.testing.assert_array_equal(embedded, codes)
        np.testing.assert_array_equal(stats, job.stats)
        try:
            fne.Model(folder / "none.pb")
        except fne.FNEError as error:
            assert "none.pb" in str(error)
        else:
            raise AssertionError("a file that is not there was opened")
    fne.load_backend(engine="onnxruntime")
    onnxruntime = fne.backend_info("onnxruntime")[0]
    assert onnxruntime == metadata.version("onnxruntime")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, TensorFlow {tf.__version__}, "
        f"ONNX Runtime {onnxruntime}: as it should be"
    )


if __name__ == "__main__":
    main()
