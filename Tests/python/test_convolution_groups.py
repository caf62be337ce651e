"""Convolutions in groups that are written out: which layers they are, and their values against TensorFlow's own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import fne

v1 = tf.compat.v1
RANDOM = np.random.default_rng(9)
PIXELS = RANDOM.normal(0, 1, (3, 16, 16, 3)).astype(np.float32)


def weights(*shape):
    return RANDOM.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32)


def frozen(build):
    """A GraphDef of a first layer of 32 channels and what a test adds."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 16, 16, 3], "input")
        build(tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 32), 2, "SAME"), "first"))
    return graph.as_graph_def()


def assert_layers(graph, names, channels):
    """The default layers, and their values as TensorFlow computes those tensors."""
    layers = fne.Model(graph).layers()
    assert [layer.name for layer in layers] == names
    assert [layer.channels for layer in layers] == channels
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
    with v1.Session(graph=imported) as session:
        values = session.run([name + ":0" for name in names], {"input:0": PIXELS})
    expected = np.concatenate([value.mean((1, 2)) if value.ndim == 4 else value for value in values], axis=1)
    with fne.Extractor(graph) as extractor:
        assert [layer.name for layer in extractor.layers] == names
        np.testing.assert_allclose(extractor.extract(PIXELS).features, expected, atol=1e-5)
    return values


def conv(x, w):
    return tf.nn.conv2d(x, w, 1, "SAME")


def split(x, groups):
    return tf.split(x, groups, 3)


def unequal(x, groups):
    return tf.split(x, [20, 12], -1)


def slices(x, groups):
    size = 32 // groups
    return [tf.slice(x, [0, 0, 0, i * size], [-1, -1, -1, size]) for i in range(groups)]


def strided(x, groups):
    size = 32 // groups
    return [x[:, :, :, i * size : (i + 1) * size] for i in range(groups)]


def open_ended(x, groups):
    return [x[..., :16], x[..., 16:]]


@pytest.mark.parametrize(
    ("cut", "groups"), [(split, 2), (split, 32), (unequal, 2), (slices, 2), (slices, 4), (strided, 4), (open_ended, 2)]
)
def test_bias_and_activation_after_the_concatenation(cut, groups):
    def build(x):
        parts = cut(x, groups)
        results = [conv(part, weights(3, 3, part.shape[3], 4)) for part in parts]
        y = tf.nn.relu(tf.nn.bias_add(tf.concat(results, 3), weights(4 * groups)), "grouped")
        tf.nn.relu(conv(y, weights(1, 1, 4 * groups, 5)), "last")

    assert_layers(frozen(build), ["first", "grouped", "last"], [32, 4 * groups, 5])


@pytest.mark.parametrize("reshape", ["by the shape", "by constants"])
def test_alexnet_as_its_programs_write_it(reshape):
    """The weights are split too, and the sum with the bias gets the shape that it has already."""

    def build(x):
        kernel = tf.constant(weights(5, 5, 16, 12))
        results = [conv(a, b) for a, b in zip(tf.split(x, 2, 3), tf.split(kernel, 2, 3), strict=True)]
        y = tf.concat(results, 3)
        biased = tf.nn.bias_add(y, weights(12))
        y = tf.reshape(biased, tf.shape(y) if reshape == "by the shape" else [-1, 8, 8, 12])
        y = tf.nn.relu(y, "conv2")
        y = tf.nn.max_pool2d(tf.nn.local_response_normalization(y, 2, 1.0, 2e-5, 0.75), 3, 2, "VALID")
        y = tf.reshape(y, [-1, 3 * 3 * 12])
        y = tf.nn.relu(v1.nn.xw_plus_b(y, weights(108, 7), weights(7)), "fc6")
        tf.nn.softmax(v1.nn.xw_plus_b(y, weights(7, 3), weights(3)))

    values = assert_layers(frozen(build), ["first", "conv2", "fc6"], [32, 12, 7])
    assert values[1].min() == 0  # it is after the Relu


def test_bias_and_normalization_in_each_group():
    def build(x):
        results = []
        for part in tf.split(x, 4, 3):
            y = tf.nn.bias_add(conv(tf.pad(part, [[0, 0], [1, 1], [1, 1], [0, 0]]), weights(3, 3, 8, 6)), weights(6))
            mean = weights(6)
            results.append(v1.nn.fused_batch_norm(y, weights(6), mean, mean, mean**2, is_training=False)[0])
        tf.nn.elu(tf.concat(results, -1), "grouped")

    assert_layers(frozen(build), ["first", "grouped"], [32, 24])


def test_an_activation_in_each_group():
    def build(x):
        results = [tf.nn.relu(conv(part, weights(3, 3, 16, 6))) for part in tf.split(x, 2, 3)]
        tf.nn.relu(conv(tf.concat(results, 3, name="grouped"), weights(1, 1, 12, 5)), "last")

    assert_layers(frozen(build), ["first", "grouped", "last"], [32, 12, 5])


def test_depthwise_convolutions_of_several_sizes():
    """As in MixNet."""

    def build(x):
        parts = zip(tf.split(x, 2, 3), (3, 5), strict=True)
        results = [tf.nn.depthwise_conv2d(part, weights(k, k, 16, 1), [1, 1, 1, 1], "SAME") for part, k in parts]
        tf.nn.relu6(tf.concat(results, 3) + weights(32), "grouped")

    graph = frozen(build)
    assert_layers(graph, ["first", "grouped"], [32, 32])
    assert fne.Model(graph).layers()[1].kind == "depthwise"


# ---- what is no group


def test_branches_of_one_tensor_are_layers_of_their_own():
    """As in Inception."""

    def build(x):
        a, b = conv(x, weights(1, 1, 32, 4)), conv(x, weights(3, 3, 32, 6))
        branches = [tf.nn.relu(a, "a"), tf.nn.relu(b, "b")]
        tf.nn.relu(conv(tf.concat(branches, 3), weights(1, 1, 10, 5)), "last")

    assert_layers(frozen(build), ["first", "a", "b", "last"], [32, 4, 6, 5])


def test_a_part_without_a_convolution():
    """As in ShuffleNet V2, where one half of the channels passes."""

    def build(x):
        passed, part = tf.split(x, 2, 3)
        y = tf.nn.relu(conv(part, weights(3, 3, 16, 16)), "half")
        tf.nn.relu(conv(tf.concat([passed, y], 3), weights(1, 1, 32, 5)), "last")

    assert_layers(frozen(build), ["first", "half", "last"], [32, 16, 5])


def test_parts_that_overlap_or_leave_channels_out():
    for second in (slice(8, 32), slice(20, 32)):

        def build(x, second=second):
            parts = [x[..., :16], x[..., second]]
            a, b = [tf.nn.bias_add(conv(part, weights(1, 1, part.shape[3], 4)), weights(4)) for part in parts]
            tf.nn.relu(tf.concat([tf.identity(a, "a"), b], 3), "after")

        assert_layers(frozen(build), ["first", "BiasAdd", "BiasAdd_1"], [32, 4, 4])


def test_parts_of_the_height():
    def build(x):
        results = [conv(part, weights(3, 3, 32, 4)) for part in tf.split(x, 2, 1)]
        tf.nn.relu(tf.concat(results, 3), "after")

    assert_layers(frozen(build), ["first", "Conv2D_1", "Conv2D_2"], [32, 4, 4])


def test_a_second_reader_of_a_group():
    """Its tensor is one that the network uses by itself."""

    def build(x):
        a, b = [conv(part, weights(1, 1, 16, 4)) for part in tf.split(x, 2, 3)]
        tf.nn.relu(tf.concat([a, b], 3), "after")
        tf.nn.tanh(a, "other")

    graph = frozen(build)
    assert [layer.name for layer in fne.Model(graph).layers()] == ["first", "Conv2D_1", "Conv2D_2"]
