"""Blocks of convolutions that run as one operation of libfne's, compared with TensorFlow's operations."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import fne

SIZE = (37, 30)


def pointwise(channels, activation=None):
    return [
        tf.keras.layers.Conv2D(channels, 1, use_bias=False, padding="same"),
        tf.keras.layers.BatchNormalization(),
        *([tf.keras.layers.ReLU(activation)] if activation else []),
    ]


def depthwise(side, stride, activation=6.0, padding="same"):
    return [
        tf.keras.layers.DepthwiseConv2D(side, stride, padding),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.ReLU(activation),
    ]


def apply(layers, x):
    for layer in layers:
        x = layer(x)
    return x


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A Keras network with blocks of each kind, and a graph of it with weights that differ from place to place."""
    tf.keras.utils.set_random_seed(4)
    image = tf.keras.Input((*SIZE, 3))
    x = apply([tf.keras.layers.Conv2D(32, 3, 2, "same", activation="relu")], image)
    x = apply([*depthwise(3, 1), *pointwise(24)], x)  # separable, and outputs that are no whole vectors
    x = apply([*pointwise(96, 6.0), *depthwise(3, 2), *pointwise(40)], x)
    y = apply([*pointwise(240, 6.0), *depthwise(5, 1), *pointwise(40)], x)
    x = tf.keras.layers.Add()([x, y])
    y = apply([*pointwise(80), tf.keras.layers.ReLU(), tf.keras.layers.ZeroPadding2D(((0, 1), (2, 1)))], x)
    x = apply([*depthwise(3, 2, None, "valid"), *pointwise(48, 6.0)], y)
    x = apply([*depthwise(5, 2), *pointwise(64, 6.0)], x)
    model = tf.keras.Model(image, x)
    random = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            count = len(layer.get_weights()[0])
            gamma, variance = random.uniform(0.5, 1.5, count), random.uniform(0.5, 2, count)
            beta, mean = random.normal(0.5, 0.5, count), random.normal(0, 0.3, count)
            layer.set_weights([gamma, beta, mean, variance])
    return frozen(lambda x: model(x), tmp_path_factory.mktemp("blocks") / "blocks.pb")


def frozen(function, path):
    """Saves the graph of a function of images."""
    image = tf.TensorSpec([None, *SIZE, 3], tf.float32, name="input")
    constants = convert_variables_to_constants_v2(tf.function(function).get_concrete_function(image))
    path.write_bytes(constants.graph.as_graph_def().SerializeToString())
    return str(path)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(6).uniform(-2, 2, (5, *SIZE, 3)).astype(np.float32)


def computed_by_tensorflow(path, layers, images):
    """Each layer's map, averaged by NumPy in float64."""
    definition = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        definition.ParseFromString(file.read())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            maps = session.run([name + ":0" for name in layers], {"input:0": images})
    return np.concatenate([each.astype(np.float64).mean((1, 2)) for each in maps], 1)


def convolutions(path):
    definition = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        definition.ParseFromString(file.read())
    return [node.name for node in definition.node if node.op in ("Conv2D", "DepthwiseConv2dNative")]


def assert_near(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_the_default_layers(network, images, batch_size):
    names = [layer.name for layer in fne.Model(network).layers()]
    assert len(names) == len(convolutions(network)) == 14
    extractor = fne.Extractor(network, size=SIZE, batch_size=batch_size)
    assert_near(extractor.extract(images).features, computed_by_tensorflow(network, names, images))


def test_layers_before_their_normalization(network, images):
    """Maps that are layers keep TensorFlow's operations around them."""
    names = convolutions(network)
    extractor = fne.Extractor(network, layers=[name + ":0" for name in names], size=SIZE)
    assert_near(extractor.extract(images).features, computed_by_tensorflow(network, names, images))


@pytest.mark.parametrize("place", range(14))
def test_one_layer_alone(network, images, place):
    name = fne.Model(network).layers()[place].name
    extractor = fne.Extractor(network, layers=[name + ":0"], size=SIZE)
    assert_near(extractor.extract(images).features, computed_by_tensorflow(network, [name], images))


def test_several_threads_per_operation_give_nearly_the_same(network, images, run_python):
    """A block runs on one thread. With three, TensorFlow's operations take its place."""
    program = (
        "import sys, numpy as np, fne\n"
        f"e = fne.Extractor(sys.argv[1], size={SIZE}, engine_threads=3)\n"
        "np.save(sys.argv[2], e.extract(np.load(sys.argv[3])).features)\n"
    )
    found = run_python(program, network, images)
    one = fne.Extractor(network, size=SIZE).extract(images).features
    assert_near(found, one.astype(np.float64))
    assert (found != one).any()


@pytest.fixture
def run_python(tmp_path):
    """Runs a program in a process of its own, and returns the rows that it saves."""

    def run(program, network, images):
        np.save(tmp_path / "images.npy", images)
        subprocess.run(
            [sys.executable, "-c", program, network, tmp_path / "rows.npy", tmp_path / "images.npy"],
            check=True,
            env=os.environ,
        )
        return np.load(tmp_path / "rows.npy")

    return run


def test_a_value_that_is_no_number_is_an_error(network, images):
    damaged = images.copy()
    damaged[2, 3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fne.Extractor(network, size=SIZE).extract(damaged)


@pytest.mark.parametrize("height", [4, 5, 6])
def test_a_height_that_depends_on_the_batch(images, tmp_path, height):
    """Zeros at the edges are counted when the network runs."""
    random = np.random.default_rng(7)
    taps, weights = random.normal(size=(3, 3, 16, 1)), random.normal(size=(1, 1, 16, 8))

    def network(x):
        x = tf.reshape(x[:, :height, :16, :], [1, -1, 3, 16])
        x = tf.nn.depthwise_conv2d(x, tf.constant(taps, tf.float32), [1, 2, 2, 1], "SAME")
        x = tf.nn.conv2d(tf.nn.relu6(x), tf.constant(weights, tf.float32), 1, "SAME")
        return tf.reduce_mean(x, (0, 1, 2))

    path = frozen(lambda x: tf.add(network(x), 0 * x[:, 0, 0, :1], name="row"), tmp_path / "n.pb")
    extractor = fne.Extractor(path, layers=["row:0"], size=SIZE, batch_size=2)
    row = extractor.extract(images[:2]).features
    with open(path, "rb") as file:
        definition = tf.compat.v1.GraphDef.FromString(file.read())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            expected = session.run("row:0", {"input:0": images[:2]})
    assert_near(row, expected.astype(np.float64))


def test_convolutions_in_groups_and_split_constants(images, tmp_path):
    """Neither may become a part of a block that it does not fit."""
    random = np.random.default_rng(8)

    def weights(*shape):
        return tf.constant(random.normal(0, 0.3, shape), tf.float32)

    def network(x):
        x = tf.nn.conv2d(x, weights(3, 3, 3, 32), 2, "SAME")
        x = tf.nn.relu(tf.nn.depthwise_conv2d(x, weights(3, 3, 32, 1), [1, 1, 1, 1], "SAME"))
        x = tf.nn.relu6(tf.nn.conv2d(x, weights(1, 1, 8, 48), 1, "SAME", name="grouped"))
        x = tf.nn.depthwise_conv2d(x, weights(3, 3, 48, 1), [1, 2, 2, 1], "SAME")
        x = tf.nn.relu6(x * tf.fill([48], 1.5))
        x = tf.nn.bias_add(tf.nn.conv2d(x, weights(1, 1, 48, 16), 1, "SAME"), tf.split(weights(32), 2)[1])
        x = tf.nn.relu6(tf.nn.depthwise_conv2d(x, weights(5, 5, 16, 1), [1, 1, 1, 1], "SAME"))
        return tf.nn.conv2d(x, weights(1, 1, 16, 24), 1, "SAME", name="last")

    path = frozen(network, tmp_path / "n.pb")
    names = [layer.name for layer in fne.Model(path).layers()]
    assert len(names) == 7
    found = fne.Extractor(path, size=SIZE).extract(images).features
    assert_near(found, computed_by_tensorflow(path, names, images))
