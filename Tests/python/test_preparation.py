"""What libfne does to a graph before it runs - own operations, weights that are fed, bfloat16 - against TensorFlow's
Python and NumPy."""

from __future__ import annotations

import platform
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import fne


def computes_bfloat16():
    """Whether TensorFlow computes bfloat16 here: on x86-64 with AVX-512 only."""
    if platform.machine() != "x86_64":
        return True
    return {"avx512bw", "avx512vl", "avx512dq"} <= set(Path("/proc/cpuinfo").read_text().split())


needs_bfloat16 = pytest.mark.skipif(not computes_bfloat16(), reason="TensorFlow computes bfloat16 with AVX-512 only")


def frozen(build, height=20, width=24):
    """A GraphDef that build writes from its input, [None, height, width, 3]."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, height, width, 3], "input")
        build(x)
    return graph.as_graph_def()


def evaluate(graph_def, names, batch):
    """The tensors' values, averaged over height and width in float64: [n, F]."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            values = session.run([name + ":0" for name in names], {"input:0": batch})
    rows = [value.astype(np.float64) for value in values]
    return np.concatenate([row.mean((1, 2)) if row.ndim == 4 else row for row in rows], axis=1)


def extracted(graph_def, names, batch, **options):
    size = batch.shape[1:3]
    with fne.Extractor(graph_def, layers=names, size=size, **options) as extractor:
        return extractor.extract(batch).features


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(1).normal(0, 50, (5, 20, 24, 3)).astype(np.float32)


def weights(*shape, seed=3):
    scale = 1 / np.sqrt(np.prod(shape[:-1]))
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


# ---- own operations


@pytest.mark.parametrize("channels", [1, 3, 15, 16, 17, 31, 64, 100, 128, 129, 300])
@pytest.mark.parametrize("size", [(20, 24), (None, None)])
def test_maps_are_averaged(batch, channels, size):
    graph = frozen(lambda x: tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, channels), 1, "SAME"), name="y"), *size)
    expected = evaluate(graph, ["y"], batch)
    np.testing.assert_allclose(extracted(graph, ["y"], batch), expected, rtol=2e-6, atol=2e-6)


def test_the_average_of_a_large_map_is_exact_to_a_few_roundings():
    """Float32 sums of a million values one after the other would be off by 1e-3."""
    graph = frozen(lambda x: tf.nn.relu(x, name="y"), 1024, 1024)
    batch = np.random.default_rng(5).uniform(0, 255, (1, 1024, 1024, 3)).astype(np.float32)
    np.testing.assert_allclose(extracted(graph, ["y"], batch), batch.astype(np.float64).mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 5, 16, 40])
@pytest.mark.parametrize(
    "options",
    [
        {"depth_radius": 2, "bias": 1.0, "alpha": 2e-5, "beta": 0.75},
        {"depth_radius": 5, "bias": 2.0, "alpha": 1e-3, "beta": 0.75},
        {"depth_radius": 2, "bias": 1.0, "alpha": 1e-4, "beta": 0.5},
        {"depth_radius": 0, "bias": 0.5, "alpha": 1e-2, "beta": 1.0},
        {"depth_radius": 50, "bias": 1.5, "alpha": 1e-3, "beta": 0.31},
        {},
    ],
)
def test_local_response_normalization(batch, channels, options):
    def build(x):
        y = tf.nn.relu(tf.nn.conv2d(x, weights(1, 1, 3, channels), 1, "SAME"))
        tf.identity(tf.raw_ops.LRN(input=y, **options), name="y")

    graph = frozen(build)
    np.testing.assert_allclose(extracted(graph, ["y"], batch), evaluate(graph, ["y"], batch), rtol=1e-5, atol=1e-6)


# ---- taps before the bias


def test_taps_before_the_bias(batch):
    """Convolutions' own outputs, whose bias is taken off behind the pooling; and those where that cannot be done."""

    def build(x):
        y = tf.nn.conv2d(x, weights(3, 3, 3, 24), 1, "SAME", name="bias_add")
        y = tf.nn.relu(tf.nn.bias_add(y, weights(24) * 30))
        y = tf.nn.depthwise_conv2d(y, weights(3, 3, 24, 1), [1, 1, 1, 1], "SAME", name="depthwise")
        y = tf.nn.relu6(y + weights(24, seed=5))
        y = tf.nn.conv2d(y, weights(1, 1, 24, 16), 1, "SAME", name="read_twice")
        y = tf.nn.relu(tf.nn.bias_add(y, weights(16))) + y
        y = tf.nn.conv2d(y, weights(1, 1, 16, 16), 1, "SAME", name="scaled")
        y = tf.nn.relu(y * weights(16))
        y = tf.nn.conv2d(y, weights(1, 1, 16, 16), 1, "SAME", name="map_added")
        y = tf.nn.relu(y + weights(20, 24, 16))
        y = tf.nn.conv2d(y, weights(1, 1, 16, 8), 1, "SAME", name="last")
        tf.nn.bias_add(y, weights(8), name="not_needed")

    graph = frozen(build)
    names = ["bias_add", "depthwise/depthwise", "read_twice", "scaled", "map_added", "last"]
    names = [name if name in {node.name for node in graph.node} else name.split("/")[0] for name in names]
    expected = evaluate(graph, names, batch)
    np.testing.assert_allclose(extracted(graph, names, batch), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    for name in names:
        one = evaluate(graph, [name], batch)
        np.testing.assert_allclose(extracted(graph, [name], batch), one, rtol=1e-5, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"precision": "bfloat16", "float32_layers": 0}, marks=needs_bfloat16)]
)
def test_constants_that_widen_a_layer(batch, options):
    """One channel plus a vector of eight is eight channels: neither a moved tap nor a folded bias. A constant
    with more axes than a dense layer's output is not folded, and one that others read too stays."""

    def build(x):
        y = tf.nn.conv2d(x / 64, weights(3, 3, 3, 1), 1, "SAME", name="narrow")
        y = tf.nn.relu(y + np.abs(weights(8)) * 4, name="wide")
        shared = tf.constant(np.linspace(1, 2, 8, dtype=np.float32))
        y = tf.nn.conv2d(y, weights(1, 1, 8, 8), 1, "SAME") * tf.identity(shared) + tf.square(shared)
        y = tf.reduce_mean(tf.nn.relu(y, name="shared") + shared, [1, 2])
        tf.reshape(tf.matmul(y, weights(8, 6)) + weights(1, 1, 6), [-1, 6], name="dense")

    graph = frozen(build)
    names = ["narrow", "wide", "shared", "dense"]
    expected = evaluate(graph, names, batch)
    got = extracted(graph, names, batch, **options)
    assert got.shape == expected.shape == (5, 23)
    assert relative_error(got, expected) < (0.02 if options else 1e-5)


# ---- devices


def test_devices(lite0, photographs):
    with fne.Extractor(lite0) as extractor:
        expected = extractor.extract(photographs[:4]).features
    with fne.Extractor(lite0, device="cpu", gpu_memory_growth=True) as extractor:
        np.testing.assert_array_equal(extractor.extract(photographs[:4]).features, expected)
    for device in ("tpu", "gpu:", "gpu:-1", "gpu:x", "CPU", "gpu:99999"):
        with pytest.raises(fne.InvalidArgumentError, match="device is"):
            fne.Extractor(lite0, device=device)
    if not tf.config.list_physical_devices("GPU"):
        with pytest.raises(fne.InvalidArgumentError, match="has no such GPU here"):
            fne.Extractor(lite0, device="gpu:1")


# ---- weights that are fed


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("identity", [False, True])
def test_large_dense_weights(batch, transposed, identity):
    """More than 4 MB, also behind an Identity and read by two products, which then share them."""
    w = weights(1500, 1440) if transposed else weights(1440, 1500)

    def build(x):
        flat = tf.reshape(x, [-1, 1440])
        constant = tf.constant(w, name="w")
        if identity:
            constant = tf.identity(constant)
        tf.nn.relu(tf.nn.bias_add(tf.matmul(flat, constant, transpose_b=transposed), weights(1500)), name="y")
        tf.tanh(tf.matmul(flat + 1, constant, transpose_b=transposed), name="z")

    graph = frozen(build)
    expected = evaluate(graph, ["y", "z"], batch)
    got = extracted(graph, ["y", "z"], batch, batch_size=2)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


def test_large_weights_that_something_else_reads_stay(batch):
    w = weights(1440, 1500)

    def build(x):
        constant = tf.constant(w, name="w")
        y = tf.matmul(tf.reshape(x, [-1, 1440]), constant)
        tf.add(y, tf.reduce_sum(constant), name="y")

    graph = frozen(build)
    np.testing.assert_allclose(extracted(graph, ["y"], batch), evaluate(graph, ["y"], batch), rtol=1e-4, atol=1e-3)


def test_what_no_layer_needs_is_left_out(batch):
    """An operation that would fail is never run, nor is it in the way of what is wanted."""

    def build(x):
        y = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 8), 1, "SAME"), name="y")
        tf.debugging.assert_less(y, -1.0, name="fails")
        with tf.control_dependencies([y]):
            tf.no_op(name="after")

    graph = frozen(build)
    got = extracted(fne.Model(graph, allow_unsafe=True), ["y"], batch)
    np.testing.assert_allclose(got, evaluate(graph, ["y"], batch), rtol=1e-5)


# ---- bfloat16


def as_bfloat16(values):
    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def relative_error(got, expected):
    return np.abs(got - expected).max() / np.abs(expected).max()


def folded_layers(x):
    """Layers with everything that can follow them: bias, normalization of both kinds, factors, activations."""
    y = tf.nn.conv2d(x / 64, weights(3, 3, 3, 24), 1, "SAME", name="c1")
    y = tf.nn.relu(tf.nn.bias_add(y, weights(24) + 0.5), name="r1")
    y = tf.nn.depthwise_conv2d(y, weights(3, 3, 24, 2), [1, 1, 1, 1], "SAME", name="c2")
    y = tf.raw_ops.FusedBatchNormV3(
        x=y,
        scale=np.linspace(0.5, 2, 48, dtype=np.float32),
        offset=weights(48),
        mean=weights(48, seed=4),
        variance=np.linspace(0.1, 3, 48, dtype=np.float32),
        epsilon=1e-3,
        is_training=False,
    )[0]
    y = tf.nn.relu6(y + 1, name="r2")
    # Keras' batch normalization: factors that the graph computes.
    variance = tf.identity(tf.constant(np.linspace(0.2, 2, 32, dtype=np.float32)))
    factor = tf.math.rsqrt(variance + 1e-3) * tf.constant(np.linspace(1, 2, 32, dtype=np.float32))
    y = tf.nn.conv2d(y, weights(1, 1, 48, 32), 1, "SAME", name="c3") * factor + (0.25 - factor * weights(32)[0])
    y = tf.identity(y - weights(32, seed=9), name="r3")
    shortcut = tf.nn.conv2d(y, weights(1, 1, 32, 32), 2, "SAME", name="c4") / np.float32(1.5)
    z = tf.nn.max_pool2d(tf.pad(y, [[0, 0], [1, 0], [1, 0], [0, 0]]), 3, 2, "VALID")
    y = tf.nn.relu(tf.nn.avg_pool2d(z, 1, 1, "SAME") + shortcut[:, :10, :12], name="r4")
    y = tf.concat([y, tf.nn.lrn(y, 2, 1.0, 2e-3, 0.75)], 3, name="joined")
    y = tf.nn.swish(tf.nn.conv2d(y, weights(3, 3, 64, 16), 1, "VALID", name="c5"))
    y = tf.reduce_mean(tf.identity(y, name="r5"), [1, 2])
    y = tf.matmul(y, weights(40, 16), transpose_b=True) + weights(40)
    tf.nn.elu(y, name="r6")


TAPS = ["r1", "r2", "r3", "r4", "joined", "r5", "r6"]


@needs_bfloat16
@pytest.mark.parametrize("float32_layers", [0, 1, 3, 100])
def test_bfloat16_is_near_float32(batch, float32_layers):
    graph = frozen(folded_layers)
    expected = evaluate(graph, TAPS, batch)
    got = extracted(graph, TAPS, batch, precision="bfloat16", float32_layers=float32_layers)
    columns = np.cumsum([24, 48, 32, 32, 64, 16, 40])
    for first, last, tap in zip([0, *columns[:-1]], columns, TAPS, strict=True):
        # A bfloat16 has 8 bits; a few layers' errors add up.
        error = relative_error(got[:, first:last], expected[:, first:last])
        assert error < 0.02, tap
        if float32_layers == 100:
            assert error < 1e-5, tap
    if float32_layers == 0:
        assert relative_error(got, expected) > 1e-5, "it was float32"


@needs_bfloat16
def test_bfloat16_of_one_layer_is_bfloat16_arithmetic(batch):
    """A convolution with one weight a channel: inputs and weights are rounded, nothing else but the output is."""
    w = np.zeros((1, 1, 3, 3), np.float32)
    w[0, 0, [0, 1, 2], [0, 1, 2]] = [1.0, 0.7071, -3.3]
    graph = frozen(lambda x: tf.nn.conv2d(x, w, 1, "VALID", name="y"))
    got = extracted(graph, ["y"], batch, precision="bfloat16", float32_layers=0)
    product = as_bfloat16(as_bfloat16(batch) * as_bfloat16(w[0, 0].diagonal()))
    np.testing.assert_allclose(got, product.astype(np.float64).mean((1, 2)), rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore::fne.BatchStatisticsWarning")  # one sum adds a pixel of the first image
@needs_bfloat16
def test_sums_in_bfloat16(batch):
    """Sums of two, with and without a Relu behind them, of equal shapes and of those that are repeated, also tapped
    and read elsewhere, against bfloat16 arithmetic of NumPy."""

    def build(x):
        x = tf.nn.conv2d(x, np.eye(3, dtype=np.float32)[None, None], 1, "SAME", name="x")
        z = tf.nn.conv2d(x, np.float32([[0, 1, 0], [0, 0, 1], [1, 0, 0]])[None, None], 1, "SAME", name="z")
        first = tf.nn.max_pool2d(z, [20, 24], 1, "VALID")
        column = tf.nn.max_pool2d(z, [20, 1], 1, "VALID")
        pixel = tf.reshape(tf.slice(z, [0, 0, 0, 0], [1, 1, 1, 3]), [3])
        tf.nn.relu(x + z, name="block")
        tf.nn.relu(tf.add(z, x, name="tapped"), name="behind")
        tf.nn.relu(tf.identity(x + first, name="repeated"), name="behind_repeated")
        tf.nn.relu(column + first, name="both")
        tf.nn.relu(pixel + x, name="fewer_axes")
        tf.nn.relu(tf.slice(x, [0, 0, 0, 0], [1, -1, -1, -1]) * 0 + pixel + z, name="one_image")
        tf.nn.relu(pixel + tf.slice(x, [0, 0, 0, 0], [-1, 1, 1, 1]), name="widened")
        tf.identity(
            tf.slice(x, [0, 0, 0, 0], [-1, -1, -1, 1]) + tf.slice(z, [0, 3, 0, 0], [-1, 1, -1, -1]), name="cross"
        )
        tf.identity(x + tf.squeeze(tf.slice(pixel, [1], [1])), name="scalar")
        tf.reshape(
            tf.reduce_max(tf.reshape(tf.raw_ops.Add(x=x, y=z), [-1, 1440]), 1, keepdims=True), [-1, 1], name="old"
        )

    x = as_bfloat16(batch)
    z = x[..., [2, 0, 1]]
    first, column, pixel = z.max((1, 2), keepdims=True), z.max(1, keepdims=True), z[0, 0, 0]
    total, relu = as_bfloat16(x + z), lambda values: np.maximum(as_bfloat16(values), 0)
    expected = {
        "block": relu(x + z),
        "tapped": total,
        "behind": relu(x + z),
        "repeated": as_bfloat16(x + first),
        "behind_repeated": relu(x + first),
        "both": relu(column + first),
        "fewer_axes": relu(pixel + x),
        "one_image": relu(pixel + z),
        "widened": relu(pixel + x[:, :1, :1, :1]),
        "cross": as_bfloat16(x[..., :1] + z[:, 3:4]),
        "scalar": as_bfloat16(x + pixel[1]),
        "old": total.max((1, 2, 3))[:, None],
    }
    rows = [v.astype(np.float64).mean((1, 2)) if v.ndim == 4 else v for v in expected.values()]
    graph = frozen(build)
    options = {"precision": "bfloat16", "float32_layers": 0, "batch_size": 5}
    got = extracted(graph, list(expected), batch, **options)
    np.testing.assert_allclose(got, np.concatenate(rows, axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(extracted(graph, ["block"], batch, **options), rows[0], rtol=1e-5, atol=1e-5)


@needs_bfloat16
def test_the_sum_of_each_channels_weights_is_kept():
    """A constant picture shows the sum of the weights: rounded one by one it would be off by far more."""
    w = np.abs(weights(3, 3, 8, 64)) + 0.01

    def build(x):
        y = tf.nn.relu(tf.nn.conv2d(x, np.ones((1, 1, 3, 8), np.float32), 1, "SAME"))
        tf.nn.relu(tf.nn.conv2d(y, w, 1, "VALID"), name="y")

    batch = np.ones((1, 20, 24, 3), np.float32)
    got = extracted(frozen(build), ["y"], batch, precision="bfloat16", float32_layers=1)[0] / 3
    exact = w.astype(np.float64).sum((0, 1, 2))
    one_by_one = as_bfloat16(w).astype(np.float64).sum((0, 1, 2))
    # The output itself is a bfloat16: half a unit of 2^-8.
    assert np.abs(got / exact - 1).max() <= 2**-8
    assert np.abs(got / exact - 1).mean() <= 1.2 * np.abs(as_bfloat16(exact * 3) / exact / 3 - 1).mean()
    assert np.abs(one_by_one / exact - 1).max() > 1e-5


@needs_bfloat16
def test_large_dense_weights_in_bfloat16(batch):
    def build(x):
        flat = tf.reshape(x, [-1, 1440])
        tf.nn.relu(tf.matmul(flat, weights(1440, 3000)) + weights(3000), name="y")
        tf.nn.relu(tf.matmul(flat, weights(3000, 1440), transpose_b=True), name="z")

    graph = frozen(build)
    got = extracted(graph, ["y", "z"], batch, precision="bfloat16", float32_layers=0)
    assert relative_error(got, evaluate(graph, ["y", "z"], batch)) < 0.01


@needs_bfloat16
def test_the_default_network_in_bfloat16(lite0, photographs):
    """Nearly all ternary values of a real network stay."""
    with fne.Extractor(lite0) as extractor:
        exact = extractor.extract(photographs).features
    with fne.Extractor(lite0, precision="bfloat16") as extractor:
        fast = extractor.extract(photographs).features
    statistics = fne.Statistics(exact.shape[1]).update(exact)
    own = fne.Statistics(exact.shape[1]).update(fast)
    codes = fne.ternarize(exact, statistics.mean(), statistics.std())
    agreement = np.mean(codes == fne.ternarize(fast, own.mean(), own.std()))
    assert 0.97 < agreement < 1


def test_precision_is_checked(lite0):
    with pytest.raises(ValueError, match="precision"):
        fne.Extractor(lite0, precision="float16")
    with pytest.raises(ValueError, match="float32_layers"):
        fne.Extractor(lite0, precision="bfloat16", float32_layers=-1)


def test_bfloat16_is_refused_where_tensorflow_has_none(lite0):
    if computes_bfloat16():
        fne.Extractor(lite0, precision="bfloat16").close()
    else:
        with pytest.raises(ValueError, match="precision is bfloat16, which TensorFlow computes .* with AVX-512 only"):
            fne.Extractor(lite0, precision="bfloat16")
