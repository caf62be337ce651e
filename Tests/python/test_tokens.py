"""Transformers: layers of tokens and of windows, against Keras' own outputs and TensorFlow's, averaged by NumPy."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import fne
from fne._command import main

SIZE, PATCH, WIDTH, HEADS, TOKENS = 32, 8, 24, 3, 17


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(2).uniform(0, 255, (5, SIZE, SIZE, 3)).astype(np.float32)


class ClassToken(layers.Layer):
    """Puts a token before the others, and adds positions."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal")
        self.positions = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), initializer="random_normal")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], 1) + self.positions


class Reshaped(layers.Layer):
    """Swaps axes, and gives another shape, in which the first dimension is open."""

    def __init__(self, shape, axes=None, **kwargs):
        super().__init__(**kwargs)
        self.shape, self.axes = shape, axes

    def call(self, x):
        return ops.reshape(ops.transpose(x, self.axes) if self.axes else x, (-1, *self.shape))


def patches():
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    return inputs, layers.Conv2D(WIDTH, PATCH, PATCH, name="patches")(x)


@pytest.fixture(scope="module")
def vit():
    """A vision transformer of two blocks, without a head."""
    keras.utils.set_random_seed(3)
    inputs, x = patches()
    x = ClassToken(name="tokens")(layers.Reshape((-1, WIDTH))(x))
    for block in "ab":
        y = layers.LayerNormalization(name=f"before_{block}")(x)
        y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{block}")(y, y)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(2 * WIDTH, activation="gelu", name=f"up_{block}")(y)
        x = layers.Add()([x, layers.Dense(WIDTH, name=f"down_{block}")(y)])
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x)))


def outputs(model, names, batch):
    """What Keras' layers give, by their names."""
    wanted = [model.get_layer(name).output for name in names]
    return dict(zip(names, map(np.asarray, keras.Model(model.inputs, wanted)([batch], training=False)), strict=True))


def vit_layers(vit, batch):
    """Every layer of the network in order, [n, h, w, C] or [n, tokens, C]."""
    result = [outputs(vit, ["patches", "up_a"], batch)["patches"]]
    for block in "ab":
        values = outputs(vit, [f"{part}_{block}" for part in ("before", "attention", "up", "down")], batch)
        attention = vit.get_layer(f"attention_{block}")
        for projection in (attention.query_dense, attention.key_dense, attention.value_dense):
            result.append(np.asarray(projection(values[f"before_{block}"])).reshape(len(batch), TOKENS, WIDTH))
        result += [values[f"{part}_{block}"] for part in ("attention", "up", "down")]
    return result


POOLINGS = {
    "mean": lambda tokens, prefix: tokens.mean(1),
    "first": lambda tokens, prefix: tokens[:, 0],
    "rest": lambda tokens, prefix: tokens[:, prefix:].mean(1),
    "first+rest": lambda tokens, prefix: np.concatenate([tokens[:, 0], tokens[:, prefix:].mean(1)], 1),
}


def pooled(values, pooling="mean", prefix=1):
    return np.concatenate(
        [value.mean((1, 2)) if value.ndim == 4 else POOLINGS[pooling](value, prefix) for value in values], 1
    )


@pytest.mark.parametrize("pooling, prefix", [("mean", 1), ("first", 1), ("rest", 1), ("first+rest", 5)])
def test_a_vision_transformer(vit, batch, pooling, prefix):
    with fne.Extractor(vit, token_pooling=pooling, prefix_tokens=prefix) as extractor:
        got = extractor.extract(batch).features
        count = WIDTH * (2 if pooling == "first+rest" else 1)
        assert [layer.feature_count for layer in extractor.layers[:3]] == [WIDTH, count, count]
    expected = pooled(vit_layers(vit, batch), pooling, prefix)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert "/down_b_" in fne.Model(vit).layers()[-1].name  # before the residual sum, it is no classifier


def test_bfloat16_tokens(vit, batch):
    with fne.Extractor(vit, precision="bfloat16", token_pooling="first+rest") as extractor:
        got = extractor.extract(batch).features
    expected = pooled(vit_layers(vit, batch), "first+rest")
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.999


def test_prefix_tokens_leave_some(vit):
    with pytest.raises(fne.InvalidArgumentError, match="has 17 tokens.*'rest' with prefix_tokens 17"):
        fne.Extractor(vit, token_pooling="rest", prefix_tokens=17)
    fne.Extractor(vit, token_pooling="first", prefix_tokens=17).close()
    with pytest.raises(ValueError, match="prefix_tokens"):
        fne.Extractor(vit, prefix_tokens=0)
    with pytest.raises(fne.InvalidArgumentError, match="prefix_tokens is 65537"):
        fne.Extractor(vit, prefix_tokens=65537)


def windows():
    """Attention in windows of 2 x 2 patches, as Swin has it: the layers work on [n * windows, tokens, C]."""
    inputs, x = patches()
    y = layers.LayerNormalization()(x)
    y = layers.Lambda(lambda y: ops.roll(y, (-1, -1), (1, 2)))(y)
    y = Reshaped((2, 2, 2, 2, WIDTH))(y)
    y = Reshaped((4, WIDTH), (0, 1, 3, 2, 4, 5))(y)
    y = layers.Dense(3 * WIDTH, name="qkv")(y)
    query, key, value = (layers.Lambda(lambda y, p=p: y[..., p * WIDTH : (p + 1) * WIDTH])(y) for p in range(3))
    y = layers.Lambda(lambda t: ops.matmul(ops.softmax(ops.matmul(t[0], ops.transpose(t[1], (0, 2, 1)))), t[2]))(
        [query, key, value]
    )
    y = layers.Dense(WIDTH, name="projection")(y)
    y = Reshaped((2, 2, 2, 2, WIDTH))(y)
    x = layers.Add()([x, Reshaped((4, 4, WIDTH), (0, 1, 3, 2, 4, 5))(y)])
    y = layers.Dense(2 * WIDTH, activation="gelu", name="up")(layers.LayerNormalization()(x))
    x = layers.Add()([x, layers.Dense(WIDTH, name="down")(y)])
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("options", [{}, {"batch_size": 2, "pad_batches": True}, {"token_pooling": "first"}])
def test_windows(batch, options):
    keras.utils.set_random_seed(4)
    model = windows()
    names = ["patches", "qkv", "projection", "up", "down"]
    values = outputs(model, names, batch)
    assert values["qkv"].shape == (4 * len(batch), 4, 3 * WIDTH)
    expected = [value.reshape(len(batch), -1, value.shape[-1]).mean(1) for value in values.values()]
    with fne.Extractor(model, **options) as extractor:  # windows have no first token
        assert [layer.rank for layer in extractor.layers] == [4, 3, 3, 4, 4]
        np.testing.assert_allclose(extractor.extract(batch).features, np.concatenate(expected, 1), rtol=1e-4, atol=1e-5)


def test_a_mixer(batch):
    """The first dense layers run on the transposed tokens, [n, C, tokens]."""
    keras.utils.set_random_seed(5)
    inputs, x = patches()
    x = layers.Reshape((-1, WIDTH))(x)
    y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
    y = layers.Dense(12, activation="gelu", name="token_up")(y)
    y = layers.Dense(16, name="token_down")(y)
    x = layers.Add()([x, layers.Permute((2, 1))(y)])
    y = layers.Dense(40, activation="gelu", name="channel_up")(layers.LayerNormalization()(x))
    x = layers.Add()([x, layers.Dense(WIDTH, name="channel_down")(y)])
    model = keras.Model(inputs, x)
    names = ["patches", "token_up", "token_down", "channel_up", "channel_down"]
    expected = pooled(outputs(model, names, batch).values())
    with fne.Extractor(model) as extractor:
        np.testing.assert_allclose(extractor.extract(batch).features, expected, rtol=1e-4, atol=1e-5)


def rows(transposed):
    """A dense layer on [n * tokens, C], or on [tokens * n, C]."""
    keras.utils.set_random_seed(6)
    inputs, x = patches()
    x = layers.Reshape((16, WIDTH))(x)
    x = Reshaped((WIDTH,), (1, 0, 2) if transposed else None)(x)
    x = layers.Dense(30, name="rows")(x)
    return keras.Model(inputs, layers.Activation("tanh", name="activation")(x))


@pytest.mark.parametrize("pooling", ["mean", "first", "first+rest"])
def test_rows_of_tokens(batch, pooling):
    model = rows(transposed=False)
    values = outputs(model, ["patches", "activation"], batch)
    tokens = values["activation"].reshape(len(batch), 16, 30)
    expected = pooled([values["patches"], tokens], pooling, 3)
    with fne.Extractor(model, token_pooling=pooling, prefix_tokens=3) as extractor:
        assert extractor.layers[1].rank == 2
        np.testing.assert_allclose(extractor.extract(batch).features, expected, rtol=1e-4, atol=1e-5)


def test_rows_in_another_order_are_refused():
    model = fne.Model(rows(transposed=True))
    with pytest.raises(fne.TensorError, match="rows of the layer '.*/Tanh' cannot be told apart.*16 rows"):
        fne.Extractor(model)
    fne.Extractor(model, layers="patches").close()


def test_a_first_dimension_that_is_not_the_images():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.reduce_mean(x, 0, name="mean")
    with pytest.raises(fne.TensorError, match=r"'mean' cannot be told apart.* \[8, 8, 3\] for 1 image, and .* for 3"):
        fne.Extractor(graph.as_graph_def(), layers="mean")


def frozen(build, size=6):
    """A graph of an input [n, size, size, 3] with random numbers for weights."""
    random = np.random.default_rng(8)
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, size, size, 3], "input")
        build(x, lambda *shape: tf.constant(random.normal(size=shape).astype(np.float32)))
    return graph


def run(graph, names, images):
    options = tf.compat.v1.ConfigProto()
    options.graph_options.rewrite_options.disable_meta_optimizer = True  # every tensor is fetched
    with tf.compat.v1.Session(graph=graph, config=options) as session:
        return session.run([name + ":0" for name in names], {"input:0": images})


def test_products_with_constants_are_layers():
    """Einsum and BatchMatMul. Features that are split over several axes stay all of the features."""

    def build(x, weights):
        x = tf.reshape(x, [-1, 36, 3])
        x = tf.einsum("abc,cde->abde", x, weights(3, 4, 5)) + weights(4, 5)
        x = tf.nn.relu(x, "heads")
        x = tf.einsum("abde,def->abf", x, weights(4, 5, 7))
        x = tf.identity(tf.nn.tanh(x, "joined"))
        x = tf.einsum("...x,xy->...y", x, weights(7, 9))
        x = tf.sigmoid(x, "ellipsis")
        x = tf.tanh(tf.raw_ops.BatchMatMulV2(x=x, y=weights(1, 9, 6)), "batched")
        x = tf.raw_ops.BatchMatMulV2(x=weights(1, 10, 36), y=x)
        x = tf.einsum("abc,dbc->ad", tf.tanh(x, "tokens"), weights(11, 10, 6))
        tf.tanh(x, "last")

    graph = frozen(build)
    images = np.random.default_rng(9).normal(size=(4, 6, 6, 3)).astype(np.float32)
    names = ["heads", "joined", "ellipsis", "batched", "tokens", "last"]
    values = run(graph, names, images)
    expected = [value.mean(1).reshape(4, -1) if value.ndim > 2 else value for value in values]
    model = fne.Model(graph.as_graph_def())
    assert [layer.name for layer in model.layers()] == names
    assert [layer.channels for layer in model.layers()] == [20, 7, 9, 6, None, 11]
    with fne.Extractor(model) as extractor:
        np.testing.assert_allclose(
            extractor.extract(images).features, np.concatenate(expected, 1), rtol=1e-5, atol=1e-6
        )


def test_one_and_three_dimensions(batch):
    """Convolutions of one dimension are maps [n, length, C], and those of three are averaged over all three."""
    keras.utils.set_random_seed(7)
    inputs, x = patches()
    x = layers.Conv1D(10, 3, activation="relu", name="one")(layers.Reshape((16, WIDTH))(x))
    x = layers.Reshape((7, 2, 5, 2))(x)
    x = layers.Conv3D(9, 2, activation="relu", name="three")(x)
    x = layers.Dense(13, activation="relu", name="map")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling3D()(x))
    names = ["patches", "one", "three", "map"]
    values = outputs(model, names, batch)
    assert values["three"].shape == (5, 6, 1, 4, 9)
    expected = [value.reshape(5, -1, value.shape[-1]).mean(1) for value in values.values()]
    with fne.Extractor(model) as extractor:
        assert [layer.rank for layer in extractor.layers] == [4, 3, 5, 5]
        np.testing.assert_allclose(extractor.extract(batch).features, np.concatenate(expected, 1), rtol=1e-4, atol=1e-5)


def test_what_is_normalized_is_no_classifier():
    def embedding(x, weights):
        x = tf.matmul(tf.reduce_mean(x, [1, 2]), weights(3, 8))
        ones = tf.ones([8])
        x = tf.compat.v1.nn.fused_batch_norm(tf.reshape(x, [-1, 1, 1, 8]), ones, ones, ones, ones, is_training=False)[0]
        tf.identity(x, "normalized")

    def attention_pooling(x, weights):
        x = tf.reshape(x, [-1, 36, 3])
        x = x + tf.tanh(tf.einsum("abc,cd->abd", x, weights(3, 3)))
        y = tf.einsum("abc,cd->abd", x, weights(3, 3), name="trunk")
        x = x + y
        mean, variance = tf.nn.moments(x, [2], keepdims=True)
        x = (x - mean) * tf.math.rsqrt(variance + 1e-6)
        shares = tf.nn.softmax(tf.reduce_mean(x, 2), name="shares")
        tf.einsum("ab,abc->ac", shares, x, name="pooled")

    def scores(x, weights):
        tf.nn.softmax(tf.einsum("ab,bc->ac", tf.reduce_mean(x, [1, 2]), weights(3, 5), name="scores"))

    def roles(build):
        tensors = fne.Model(frozen(build).as_graph_def()).tensors()
        return [[t.name for t in tensors if getattr(t, role)] for role in ("is_default", "is_classifier")]

    assert roles(embedding)[1] == []
    default, classifier = roles(attention_pooling)
    assert default[-1].startswith("trunk") and classifier == []
    assert [name.split("/")[0] for name in roles(scores)[1]] == ["scores"]


def test_jobs_record_the_pooling(vit, photographs, tmp_path):
    paths = [str(path) for path in photographs[:3]]
    options = {"layers": ["up_a", "up_b"], "token_pooling": "rest", "prefix_tokens": 2}
    job = fne.embed_dataset(paths, vit, tmp_path / "job", **options)
    assert job.manifest["settings"]["token_pooling"] == "rest"
    assert job.manifest["settings"]["prefix_tokens"] == 2
    with job.extractor(vit) as extractor:
        np.testing.assert_array_equal(extractor.extract(paths).features, job.features())
    with pytest.raises(fne.JobMismatchError, match="token_pooling"):
        fne.embed_dataset(paths, vit, tmp_path / "job", layers=["up_a", "up_b"])
    job = fne.embed_dataset(paths, vit, tmp_path / "means", layers=["up_a"])
    assert not {"token_pooling", "prefix_tokens"} & set(job.manifest["settings"])


def test_shapes(vit):
    model = fne.Model(vit)
    shapes = dict(zip([tensor.name for tensor in model.tensors()], model.shapes(), strict=True))
    by_layer = [shapes[layer.name] for layer in model.layers()]
    assert by_layer[:2] == [(1, 4, 4, WIDTH), (1, TOKENS, HEADS, WIDTH // HEADS)]
    assert by_layer[4:7] == [(1, TOKENS, WIDTH), (1, TOKENS, 2 * WIDTH), (1, TOKENS, WIDTH)]
    named = {name: shape for name, shape in shapes.items() if name.endswith("up_a_1/Tensordot/MatMul")}
    assert list(named.values()) == [(TOKENS, 2 * WIDTH)]  # [17 n, 48]
    with pytest.raises(fne.InvalidArgumentError, match="fixed height of 32"):
        model.shapes(size=(33, 32))


def test_the_command_shows_shapes(tmp_path, capsys):
    def build(x, weights):
        x = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 8), 2, "SAME"), "map")
        x = tf.tanh(tf.matmul(tf.reshape(x, [-1, 8]), weights(8, 5)), "rows")
        tf.tanh(tf.einsum("abc,cde->abde", tf.reshape(x, [-1, 9, 5]), weights(5, 2, 7)), "heads")

    sized, open_size = tmp_path / "sized.pb", tmp_path / "open.pb"
    sized.write_bytes(frozen(build).as_graph_def().SerializeToString())
    open_size.write_bytes(frozen(build, size=None).as_graph_def().SerializeToString())
    shapes = {"map": "[n, 3, 3, 8]", "rows": "[9n, 5]", "heads": "[n, 9, 2, 7]"}
    for arguments in ([sized], [open_size, "--size", "6"], [open_size, "--size", "6", "--input-tensor", "input"]):
        assert main(["layers", *map(str, arguments)]) == 0
        lines = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
        assert {line[0]: line[2] for line in lines[1:-2]} == shapes
        assert [line[3] for line in lines[1:-2]] == ["8", "5", "14"] and lines[-2] == ["3 default layers, 27 features"]
    assert main(["layers", str(open_size)]) == 0
    out = capsys.readouterr().out
    assert "[n, h, w, 8]" in out and out.endswith("which the graph does not say\n")
    assert main(["layers", str(sized), "--size", "7"]) == 1
    assert "fixed height of 6" in capsys.readouterr().err


def test_shapes_are_those_of_tensorflow(network):
    graph = network[0]
    model = fne.Model(graph)
    names = [tensor.name for tensor in model.tensors()]
    images = np.random.default_rng(1).normal(size=(2, 48, 64, 3)).astype(np.float32)
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
    for name, shape, value in zip(names, model.shapes(), run(imported, names, images), strict=True):
        assert shape == (value.shape[0] // 2, *value.shape[1:]), name
