"""Layers in the bodies of functions, in conditions and in loops: taken where they can be, else named."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compat import v1
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import fne

SIZE = (24, 20)


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(0, 256, (5, *SIZE, 3), np.uint8)


def weights(*shape):
    return (np.random.default_rng(len(shape)).normal(size=shape) / 8).astype(np.float32)


def concrete_of(function):
    return tf.function(function).get_concrete_function(tf.TensorSpec([None, *SIZE, 3], tf.float32, name="x"))


def graph_of(function):
    concrete = concrete_of(function)
    return convert_variables_to_constants_v2(concrete, lower_control_flow=False).graph.as_graph_def()


def run(graph, tensors, pixels):
    """The tensors as TensorFlow computes them from the graph as it is, pooled."""
    with v1.Graph().as_default() as own, v1.Session(graph=own) as session:
        tf.import_graph_def(graph, name="")
        found = session.run([name + ":0" for name in tensors], {"x:0": pixels.astype(np.float32)})
    return np.concatenate([value.mean((1, 2)) if value.ndim == 4 else value for value in found], 1)


def layers(graph, **options):
    return [tensor.name for tensor in fne.Model(graph, **options).layers()]


def test_calls_are_inlined(pixels):
    """A call in a call, whose body passes on an argument and an output that is not the first."""

    @tf.function
    def inner(x, kernel):
        return tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME", name="conv"), name="relu")

    @tf.function
    def outer(x):
        left, right = tf.split(inner(x, weights(3, 3, 3, 8)), 2, 3)
        values, _ = tf.math.top_k(right, 2)
        return inner(values, weights(3, 3, 2, 6)), x, left

    def network(x):
        y, same, left = outer(x)
        z = tf.nn.relu(tf.matmul(tf.reduce_mean(y, [1, 2]), weights(6, 7)), "fc")
        return tf.matmul(z, weights(7, 3), name="logits"), tf.identity(same), tf.identity(left, "left")

    graph = concrete_of(network).graph.as_graph_def()
    calls = [node for node in graph.node if "Call" in node.op]
    assert len(calls) == 1
    call = calls[0].name
    inners = sorted(
        node.name
        for function in graph.library.function
        if "outer" in function.signature.name
        for node in function.node_def
        if "Call" in node.op
    )
    assert layers(graph) == [f"{call}/{inners[0]}/relu", f"{call}/{inners[1]}/relu", "fc"]
    x = pixels.astype(np.float32)
    first = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 8), 1, "SAME"))
    second = tf.nn.relu(tf.nn.conv2d(tf.math.top_k(first[..., 4:], 2)[0], weights(3, 3, 2, 6), 1, "SAME"))
    third = tf.nn.relu(tf.matmul(tf.reduce_mean(second, [1, 2]), weights(6, 7)))
    wanted = np.concatenate([tf.reduce_mean(first, [1, 2]), tf.reduce_mean(second, [1, 2]), third], 1)
    found = fne.Extractor(graph, "x").extract(list(pixels)).features
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * abs(wanted).max())
    # The names that are gone still work.
    old = fne.Extractor(graph, "x", [call + ":2", "left", call]).extract(list(pixels)).features
    np.testing.assert_allclose(old, run(graph, ["left", "left", call], pixels), rtol=1e-4, atol=1e-3)


def test_grouped_convolutions_of_keras(pixels):
    keras.utils.set_random_seed(5)
    inputs = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(12, 3, activation="relu", padding="same")(inputs)
    x = keras.layers.Conv2D(24, 3, groups=3, activation="relu", strides=2)(x)
    x = keras.layers.Conv2D(24, 5, groups=24, padding="same", name="depthwise")(x)
    x = keras.layers.Conv2D(48, 3, groups=24, padding="same", dilation_rate=2, name="twofold")(x)
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))
    taken = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    wanted = keras.Model(inputs, [layer.output for layer in taken]).predict(pixels.astype(np.float32), verbose=0)
    wanted = np.concatenate([value.mean((1, 2)) for value in wanted], 1)
    with fne.Extractor(model) as extractor:
        assert [layer.kind for layer in extractor.layers] == ["convolution"] * 4
        found = extractor.extract(list(pixels)).features
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * abs(wanted).max())
    assert fne.Model(model).notes() == []


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_grouped_convolutions_in_both_precisions(pixels, precision):
    inputs = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(16, 3, activation="relu")(inputs)
    x = keras.layers.Conv2D(32, 3, groups=16, activation="relu", name="depthwise")(x)
    outputs = keras.layers.Conv2D(32, 3, groups=4, activation="relu", name="grouped")(x)
    model = keras.Model(inputs, outputs)
    wanted = model.predict(pixels.astype(np.float32), verbose=0).mean((1, 2))
    try:
        with fne.Extractor(model, layers="grouped", precision=precision, float32_layers=0) as extractor:
            found = extractor.extract(list(pixels)).features
    except fne.InvalidArgumentError:
        assert precision == "bfloat16"  # the processor has none
        return
    bound = 1e-5 if precision == "float32" else 0.03
    np.testing.assert_allclose(found, wanted, rtol=bound, atol=bound * abs(wanted).max())


def conditional(training):
    """A network with a condition that holds convolutions."""

    def network(x):
        flag = tf.constant(training, name="training") if isinstance(training, bool) else training(x)
        kernels = weights(3, 3, 3, 4), weights(3, 3, 3, 4) * 2

        def branch(kernel):
            return lambda: tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME", name="conv"), name="relu")

        y = tf.cond(flag, branch(kernels[0]), branch(kernels[1]))
        return tf.nn.relu(tf.nn.conv2d(y, weights(1, 1, 4, 5), 1, "SAME"), "last")

    return graph_of(network)


@pytest.mark.parametrize("training", [True, False])
def test_a_condition_that_is_known_is_followed(pixels, training):
    graph = conditional(training)
    assert [node.op for node in graph.node].count("StatelessIf") == 1
    assert layers(graph) == ["cond/cond/relu", "last"]
    found = fne.Extractor(graph, "x").extract(list(pixels)).features
    kernel = weights(3, 3, 3, 4) * (1 if training else 2)
    wanted = tf.nn.relu(tf.nn.conv2d(pixels.astype(np.float32), kernel, 1, "SAME"))
    np.testing.assert_allclose(found[:, :4], tf.reduce_mean(wanted, [1, 2]), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found[:, 4:], run(graph, ["last"], pixels), rtol=1e-4, atol=1e-3)


def test_a_condition_that_is_not_known_is_named(pixels):
    graph = conditional(lambda x: tf.shape(x)[1] > 5)
    model = fne.Model(graph)
    assert [tensor.name for tensor in model.layers()] == ["last"]
    assert len(model.notes()) == 1
    assert "2 convolutions and dense layers cannot be taken" in model.notes()[0]
    assert "'cond', which is a condition" in model.notes()[0]
    found = fne.Extractor(model, "x").extract(list(pixels)).features
    np.testing.assert_allclose(found, run(graph, ["last"], pixels), rtol=1e-4, atol=1e-3)


def test_a_loop_is_named(pixels):
    def network(x):
        kernel = tf.constant(weights(3, 3, 3, 3))
        y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.nn.conv2d(y, kernel, 1, "SAME")), [0, x])[1]
        return tf.nn.relu(tf.nn.conv2d(y, weights(1, 1, 3, 5), 1, "SAME"), "last")

    graph = graph_of(network)
    model = fne.Model(graph)
    assert [tensor.name for tensor in model.layers()] == ["last"]
    assert len(model.notes()) == 1 and "1 convolutions" in model.notes()[0] and "is a loop" in model.notes()[0]
    lowered = convert_variables_to_constants_v2(concrete_of(network)).graph.as_graph_def()
    for kind in graph, lowered:
        found = fne.Extractor(kind, "x").extract(list(pixels)).features
        np.testing.assert_allclose(found, run(kind, ["last"], pixels), rtol=1e-4, atol=1e-3 * abs(found).max())
    assert len(fne.Model(lowered).notes()) == 1


def test_what_cannot_be_taken_is_logged():
    logged = []
    fne.set_log_callback(lambda level, text: logged.append((level, text)))
    try:
        fne.Extractor(conditional(lambda x: tf.shape(x)[1] > 5), "x").close()
        assert any("cannot be taken" in text for _, text in logged)
        logged.clear()
        fne.Extractor(conditional(lambda x: tf.shape(x)[1] > 5), "x", "last").close()
        assert not logged
    finally:
        fne.set_log_callback(None)


def test_reports_are_left_out(pixels, capfd):
    with v1.Graph().as_default() as own:
        x = v1.placeholder(tf.float32, [None, *SIZE, 3], name="x")
        y = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 8), 1, "SAME"), "first")
        v1.summary.histogram("seen", y)
        checked = v1.assert_less(tf.reduce_max(x), -1.0)  # it would fail
        with tf.control_dependencies([checked]):
            y = v1.Print(y, [tf.shape(y)], "printed")
        tf.nn.relu(tf.matmul(tf.reduce_mean(y, [1, 2]), weights(8, 5)), "second")
    graph = own.as_graph_def()
    found = fne.Extractor(graph).extract(list(pixels)).features
    first = tf.nn.relu(tf.nn.conv2d(pixels.astype(np.float32), weights(3, 3, 3, 8), 1, "SAME"))
    pooled = tf.reduce_mean(first, [1, 2])
    wanted = np.concatenate([pooled, tf.nn.relu(tf.matmul(pooled, weights(8, 5)))], 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)
    assert "printed" not in capfd.readouterr().err
