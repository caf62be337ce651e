"""The main job on whatever Python, NumPy, TensorFlow and ONNX Runtime are there, against these themselves and NumPy.

Needs these four and the package, and onnx for the network of ONNX Runtime. `Tests/ranges/run` calls it at both ends of
the supported ranges."""

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


def onnx_network():
    """A residual network with depthwise convolutions, local response normalization, branches, attention and a function,
    and its layers with the axes that are averaged. It has about 200,000 weights."""
    from onnx import AttributeProto, TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)
    nodes, constants, layers = [], [], []

    def constant(value):
        constants.append(numpy_helper.from_array(value, f"constant{len(constants)}"))
        return constants[-1].name

    def weights(*shape):
        return constant(random.normal(0, 1 / np.sqrt(max(np.prod(shape[1:]), 1)), shape).astype(np.float32))

    def node(operation, *inputs, **attributes):
        output = f"{operation}{len(nodes)}"
        nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def layer(x, read, channels, size=3, stride=1, groups=1, activation=True):
        kernel = weights(channels, read // groups, size, size)
        x = node("Conv", x, kernel, weights(channels), strides=[stride] * 2, pads=[size // 2] * 4, group=groups)
        statistics = [random.uniform(0.5, 1.5, channels).astype(np.float32) for _ in range(4)]
        x = node("BatchNormalization", x, *map(constant, statistics))
        x = node("own_relu", x, domain="own") if activation else x
        layers.append((x, (2, 3)))
        return x

    x = layer("image", 3, 32, size=5, stride=2)
    x = node("LRN", x, size=5, alpha=0.001, beta=0.75, bias=1.0)
    for channels in (32, 64):
        read = 32
        y = layer(x, read, read, groups=read)
        y = layer(y, read, channels, size=1, activation=False)
        x = node("Add", x, y) if channels == read else y
    x = node(
        "Concat", layer(x, 64, 48, size=1), layer(node("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4), 64, 48), axis=1
    )
    x = layer(x, 96, 64, stride=2)
    shape = node(
        "Concat",
        node("Slice", node("Shape", x), *(constant(np.array([v])) for v in (0, 1))),
        constant(np.array([64, -1])),
        axis=0,
    )
    tokens = node("Transpose", node("Reshape", x, shape), perm=[0, 2, 1])
    query, key, value = (node("Add", node("MatMul", tokens, weights(64, 64)), weights(64)) for _ in range(3))
    layers += [(part, (1,)) for part in (query, key, value)]
    scores = node("Softmax", node("MatMul", query, node("Transpose", key, perm=[0, 2, 1])), axis=2)
    tokens = node("Add", tokens, node("MatMul", scores, value))
    scores = node("Gemm", node("ReduceMean", tokens, axes=[1], keepdims=0), weights(10, 64), transB=1)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    own = helper.make_function("own", "own_relu", ["x"], ["y"], [helper.make_node("LeakyRelu", ["x"], ["y"])], opsets)
    own.node[0].attribute.add(name="alpha", f=0.1, type=AttributeProto.FLOAT)
    sizes = ["n", 3, HEIGHT, WIDTH]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(scores, TensorProto.FLOAT, ["n", 10])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=opsets, functions=[own], ir_version=8)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name, _ in layers)
    return model.SerializeToString(), layers


def check_onnx() -> str:
    """Compares the rows of an ONNX network with what ONNX Runtime's own Python computes. Returns its version."""
    import onnxruntime

    data, layers = onnx_network()
    images = np.random.default_rng(6).integers(0, 256, (7, HEIGHT, WIDTH, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    fed = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    found = session.run([name for name, _ in layers], {"image": fed})
    expected = np.concatenate([value.mean(axes) for value, (_, axes) in zip(found, layers, strict=True)], 1)
    model = fne.Model(data)
    names = [name for name, _ in layers]
    assert [layer.name for layer in model.layers()] == names, [layer.name for layer in model.layers()]
    with fne.Extractor(model, batch_size=3) as extractor:
        rows = extractor.extract(images).features
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    shapes = dict(zip((tensor.name for tensor in model.tensors()), model.shapes(), strict=True))
    assert all(shapes[name][1:] == value.shape[1:] for name, value in zip(names, found, strict=True))
    version = fne.backend_info("onnxruntime")[0]
    assert version == metadata.version("onnxruntime") == onnxruntime.__version__
    return version


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
    onnxruntime = check_onnx()
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, TensorFlow {tf.__version__}, "
        f"ONNX Runtime {onnxruntime}: as it should be"
    )


if __name__ == "__main__":
    main()
