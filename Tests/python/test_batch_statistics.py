"""Networks whose rows depend on the other images of their batch: against what TensorFlow computes for other batches."""

from __future__ import annotations

import json
import warnings

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

import fne

v1 = tf.compat.v1
RANDOM = np.random.default_rng(5)
WEIGHTS = RANDOM.normal(0, 0.2, (3, 3, 3, 8)).astype(np.float32)
SCALE, OFFSET = RANDOM.normal(1, 0.1, (2, 8)).astype(np.float32)
PIXELS = RANDOM.normal(0, 1, (4, 12, 12, 3)).astype(np.float32)
PIXELS[1:] *= [[[[3]]], [[[5]]], [[[2]]]]  # images of very different contrast


def network(normalize, batch=None):
    """A GraphDef of a convolution, what a test adds, and a Relu."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [batch, 12, 12, 3], "input")
        x = tf.nn.conv2d(x, WEIGHTS, 2, "SAME", name="conv")
        tf.nn.relu(normalize(x), name="relu")
    return graph.as_graph_def()


def run(graph, pixels, tensor="relu"):
    """TensorFlow's own run: the tensor, averaged over height and width."""
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
    with v1.Session(graph=imported) as session:
        values = session.run(tensor + ":0", {"input:0": pixels})
    return values.mean((1, 2)) if values.ndim == 4 else values


def depends_on_the_batch(graph):
    """Whether TensorFlow gives an image another row when it has neighbours."""
    alone, among = run(graph, PIXELS[3:]), run(graph, PIXELS)[3:]
    return not np.allclose(alone, among, atol=1e-4)


def said(graph, **options):
    """The warnings of an extractor."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fne.Extractor(graph, **options).close()
    return [str(warning.message) for warning in caught if warning.category is fne.BatchStatisticsWarning]


def fused(x, training=True, name="norm", **layout):
    mean = [] if training else np.full(8, 0.1, np.float32)
    return v1.nn.fused_batch_norm(x, SCALE, OFFSET, mean, mean, is_training=training, name=name, **layout)[0]


def moments(axes, keepdims=False):
    def normalize(x):
        mean, variance = tf.nn.moments(x, axes, keepdims=keepdims)
        return tf.nn.batch_normalization(x, mean, variance, OFFSET, SCALE, 1e-3)

    return normalize


def sums(x):
    """The moments by sums and a count that the graph computes, as older TensorFlow wrote them."""
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
    mean = tf.reduce_sum(x, [0, 1, 2]) / count
    variance = tf.reduce_sum(tf.square(x - mean), [0, 1, 2]) / count
    return tf.nn.batch_normalization(x, mean, variance, OFFSET, SCALE, 1e-3)


def fused_layer_normalization(x):
    """Layer normalization as Keras 2 writes it (keras/layers/normalization/layer_normalization.py, `_fused`)."""
    shape = tf.shape(x)
    rows = shape[0] * shape[1] * shape[2]
    reshaped = tf.reshape(x, [1, rows, shape[3], 1])
    ones, zeros = tf.fill([rows], 1.0), tf.fill([rows], 0.0)
    y, _, _ = v1.nn.fused_batch_norm(reshaped, ones, zeros, epsilon=1e-3, data_format="NCHW", name="norm")
    return tf.reshape(y, shape) * SCALE + OFFSET


def group_normalization(x):
    groups = tf.reshape(x, [-1, 6, 6, 2, 4])
    mean, variance = tf.nn.moments(groups, [1, 2, 4], keepdims=True)
    groups = tf.nn.batch_normalization(groups, mean, variance, None, None, 1e-3)
    return tf.reshape(groups, [-1, 6, 6, 8]) * SCALE + OFFSET


def standard_deviation_of_groups(x):
    """StyleGAN's: the batch is divided by 4, and each quarter looks across itself."""
    groups = tf.reshape(x, [tf.minimum(4, tf.shape(x)[0]), -1, 6, 6, 8])
    deviation = tf.math.reduce_std(groups, 0)
    return x + tf.reduce_mean(deviation)


def attention_across_images(x):
    rows = tf.reduce_mean(x, [1, 2])
    return x + (tf.nn.softmax(rows @ tf.transpose(rows)) @ rows)[:, None, None, :]


def unused_statistics(x):
    """A mean of the batch that only a check waits for, and one whose shape alone is read."""
    check = v1.Assert(tf.reduce_mean(x) < 1e9, [0.0])
    with tf.control_dependencies([check]):
        x = tf.identity(x)
    return tf.reshape(x, [-1, 6, 6, tf.shape(tf.reduce_mean(x, [0, 1, 2]))[0]])


CASES = {
    "fused": (fused, "norm", 1),
    "moments": (moments([0, 1, 2]), "moments/mean", 2),
    "kept moments": (moments([0, 1, 2], keepdims=True), "moments/mean", 2),
    "negative axes": (moments([-4, -3, -2]), "moments/mean", 2),
    "moments of each place": (moments([0]), "moments/mean", 2),
    "sums": (sums, "Sum", 2),
    "two normalizations": (lambda x: fused(tf.nn.conv2d(fused(x), np.ones((1, 1, 8, 8)), 1, "SAME")), "norm", 2),
    "largest": (lambda x: x / tf.reduce_max(tf.abs(x)), "Max", 1),
    "largest of each place": (lambda x: tf.reduce_max(x, 0, keepdims=True) - x, "Max", 1),
    "softmax over images": (lambda x: tf.nn.softmax(x, axis=0), "Softmax", 1),
    "running sum": (lambda x: tf.cumsum(x, 0), "Cumsum", 1),
    "reversed": (lambda x: tf.reverse(x, [0]), "ReverseV2", 1),
    "first image": (lambda x: x + x[:1], "strided_slice", 1),
    "deviation of groups": (standard_deviation_of_groups, "Reshape", 1),
    "attention": (attention_across_images, "matmul", 1),
    "fused, for inference": (lambda x: fused(x, training=False), None, 0),
    "instance": (moments([1, 2], keepdims=True), None, 0),
    "layer": (moments([-1], keepdims=True), None, 0),
    "whole layer": (moments([1, 2, 3], keepdims=True), None, 0),
    "fused layer": (fused_layer_normalization, None, 0),
    "group": (group_normalization, None, 0),
    "softmax": (tf.nn.softmax, None, 0),
    "unused": (unused_statistics, None, 0),
    "squeeze and excitation": (lambda x: x * tf.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True)), None, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_what_depends_on_the_batch_is_named(case):
    normalize, node, count = CASES[case]
    graph = network(normalize)
    assert depends_on_the_batch(graph) == (node is not None), "the case itself"
    heard = said(graph, layers="relu")
    assert len(heard) == (node is not None)
    if node is not None:
        others = {1: " works", 2: " and 1 other operation work"}[count]
        assert f"'{node}" in heard[0] and f"){others} across the images" in heard[0]
        assert "Freeze the network for inference, or set batch_size to 1" in heard[0]


def test_training_is_the_default_of_the_attribute():
    graph = network(fused)
    for node in graph.node:
        node.attr.pop("is_training", None)
    assert depends_on_the_batch(graph)
    assert len(said(graph, layers="relu")) == 1


@pytest.mark.parametrize("case", ["fused", "moments", "sums"])
def test_the_layer_ends_after_the_normalization(case):
    graph = network(CASES[case][0])
    with pytest.warns(fne.BatchStatisticsWarning), fne.Extractor(graph, pad_batches=True) as extractor:
        assert [layer.name for layer in extractor.layers] == ["relu"]
        np.testing.assert_allclose(extractor.extract(PIXELS).features, run(graph, PIXELS), atol=1e-5)


@pytest.mark.parametrize("case", ["fused", "moments"])
def test_with_a_batch_of_one_a_row_stands_alone(case):
    graph = network(CASES[case][0])
    assert said(graph, batch_size=1) == []
    expected = np.concatenate([run(graph, PIXELS[i : i + 1]) for i in range(4)])
    with fne.Extractor(graph, batch_size=1) as extractor:
        np.testing.assert_allclose(extractor.extract(PIXELS).features, expected, atol=1e-5)


def test_a_fixed_batch_size():
    assert len(said(network(fused, batch=4))) == len(said(network(moments([0, 1, 2]), batch=4))) == 1
    assert said(network(fused, batch=1)) == said(network(moments([0, 1, 2]), batch=1)) == []
    assert said(network(fused_layer_normalization, batch=4)) == []
    assert said(network(moments([1, 2], keepdims=True), batch=4)) == []


def test_only_what_the_layers_need_counts():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 12, 12, 3], "input")
        x = tf.nn.relu(tf.nn.conv2d(x, WEIGHTS, 2, "SAME"), "first")
        tf.nn.relu(fused(tf.nn.conv2d(x, np.ones((1, 1, 8, 8), np.float32), 1, "SAME")), name="second")
    assert said(graph.as_graph_def(), layers="first") == []
    assert len(said(graph.as_graph_def())) == 1


def test_a_map_of_unknown_shape():
    """The shape after Where and Gather is not known beforehand. The first axis is taken for the images'."""

    def all_images(x):
        return tf.gather(x, tf.where(tf.reduce_max(tf.abs(x), [1, 2, 3]) >= 0)[:, 0])

    def spread(normalize):
        return network(lambda x: normalize(tf.ensure_shape(all_images(x), [None, 6, 6, 8])))

    assert depends_on_the_batch(spread(fused)) and not depends_on_the_batch(spread(moments([1, 2], keepdims=True)))
    assert len(said(spread(fused), layers="relu")) == len(said(spread(moments([0, 1, 2])), layers="relu")) == 1
    assert said(spread(moments([1, 2], keepdims=True)), layers="relu") == []


def test_fused_layer_normalization_gives_what_keras_gives():
    """Its data format is NCHW, but it is no network in that layout."""
    graph = network(fused_layer_normalization)
    layer = keras.layers.LayerNormalization()
    layer.build((None, 6, 6, 8))
    layer.set_weights([SCALE, OFFSET])
    expected = np.maximum(layer(tf.nn.conv2d(PIXELS, WEIGHTS, 2, "SAME")), 0).mean((1, 2))
    for batch_size in (1, 4):
        with fne.Extractor(graph, layers="relu", batch_size=batch_size) as extractor:
            np.testing.assert_allclose(extractor.extract(PIXELS).features, expected, atol=1e-5)


def test_a_map_with_its_channels_first_is_still_refused():
    def transposed(x):
        y = fused(tf.transpose(x, [0, 3, 1, 2]), data_format="NCHW")
        return tf.transpose(y, [0, 2, 3, 1])

    with pytest.raises(fne.TensorError, match="'norm' works in the layout NCHW"):
        fne.Extractor(network(transposed), layers="relu")


# ---- jobs


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        image = RANDOM.integers(0, 256, (12, 12, 3), np.uint8) // (1 + number)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def test_a_job_refuses_unless_it_is_told(pictures, tmp_path):
    graph = network(moments([0, 1, 2]))
    with pytest.raises(fne.TensorError, match=r"'moments/mean' \(Mean\) and 1 other .* allow_batch_statistics"):
        fne.embed_dataset(pictures, graph, tmp_path / "job")
    assert not (tmp_path / "job").exists()

    job = fne.embed_dataset(pictures, graph, tmp_path / "job", allow_batch_statistics=True)
    assert job.manifest["settings"]["batch_statistics"] == {"node": "moments/mean", "operation": "Mean", "count": 2}
    # Batches of 4, of which the last one is filled up with zeros. These count.
    images = [cv2.imread(str(pictures / f"{number}.png"))[..., ::-1] for number in range(6)]
    fed = np.zeros((8, 12, 12, 3), np.float32)
    fed[:6] = images
    expected = np.concatenate([run(graph, fed[:4]), run(graph, fed[4:])])[:6]
    np.testing.assert_allclose(job.features(), expected, atol=1e-4)

    with pytest.raises(fne.TensorError, match="allow_batch_statistics"):  # to resume it takes the same words
        fne.embed_dataset(pictures, graph, tmp_path / "job")


def test_a_job_takes_other_networks_as_they_are(pictures, tmp_path):
    ordinary = fne.embed_dataset(pictures, network(lambda x: fused(x, training=False)), tmp_path / "ordinary")
    assert ordinary.manifest["settings"]["batch_statistics"] is None
    alone = fne.embed_dataset(pictures, network(fused), tmp_path / "alone", batch_size=1)
    assert alone.manifest["settings"]["batch_statistics"] is None


def test_the_command(pictures, tmp_path, capsys):
    from fne._command import main

    (tmp_path / "network.pb").write_bytes(network(fused).SerializeToString())
    arguments = ["embed", str(pictures), str(tmp_path / "network.pb"), str(tmp_path / "job"), "--quiet"]
    assert main(arguments) == 1
    assert "'norm' (FusedBatchNormV3) works across the images" in capsys.readouterr().err
    assert main([*arguments, "--allow-batch-statistics"]) == 0
    manifest = json.loads((tmp_path / "job/manifest.json").read_text())
    assert manifest["settings"]["batch_statistics"]["node"] == "norm"


def test_the_log_is_told_once_per_extractor():
    heard = []
    fne.set_log_callback(lambda level, message: heard.append((level, message)))
    try:
        messages = said(network(fused))
    finally:
        fne.set_log_callback(None)
    assert [line for line in heard if "across the images" in line[1]] == [("warning", messages[0])]
