"""What a graph holds, and which layers are the default: against the layers that Keras itself lists."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import fne


def freeze(model, shape):
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return convert_variables_to_constants_v2(function).graph.as_graph_def()


def channels(layer):
    """Output channels of a convolutional or dense Keras layer; None for others."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return layer.kernel.shape[2] * layer.kernel.shape[3]
    if isinstance(layer, keras.layers.SeparableConv2D):
        raise NotImplementedError
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
        return layer.kernel.shape[-1]
    return None


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "VGG16",
        "ResNet50",
        "ResNet50V2",
        "DenseNet121",
        "MobileNetV2",
        "EfficientNetB0",
        "InceptionV3",
        "MobileNetV3Small",
    ],
)
def test_keras_applications(name, top):
    size = 96 if name != "InceptionV3" else 139
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, include_top=top, input_shape=(size, size, 3))
    expected = [count for layer in model.layers if (count := channels(layer)) is not None]
    if top:
        assert expected.pop() == 1000  # the classifier's output is left out
    graph = fne.Model(freeze(model, (None, size, size, 3)))
    layers = graph.layers()
    assert sorted(layer.channels for layer in layers) == sorted(expected)
    classifier = [tensor for tensor in graph.tensors() if tensor.is_classifier]
    assert [tensor.channels for tensor in classifier] == ([1000] if top else [])
    kinds = [layer.kind for layer in layers]
    depthwise = sum(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in model.layers)
    assert kinds.count("depthwise") == depthwise


def test_outputs_are_after_the_activation():
    """The network gives at a default layer what Keras gives behind the activation."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, name="plain")(inputs)
    x = a = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("swish")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = b = keras.layers.ReLU(6.0)(x)
    x = c = keras.layers.Conv2D(8, 1, activation="gelu")(x)
    x = d = keras.layers.Conv2D(8, 1, activation="hard_silu")(x)
    x = e = keras.layers.Conv2D(8, 1, activation="leaky_relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = f = keras.layers.Dense(16, activation="tanh")(x)
    outputs = keras.layers.Dense(5, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    a = keras.layers.Activation("swish")(a)
    pixels = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    expected = keras.Model(inputs, [a, b, c, d, e, f]).predict(pixels, verbose=0)
    expected = np.concatenate([v.mean((1, 2)) if v.ndim == 4 else v for v in expected], axis=1)
    with fne.Extractor(freeze(model, (None, 32, 32, 3))) as extractor:
        features = extractor.extract(pixels).features
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_default_layers_of_the_small_network(network):
    graph, taps, _scores = network
    model = fne.Model(graph)
    assert [layer.name + ":0" for layer in model.layers()] == taps
    assert [layer.kind for layer in model.layers()] == [
        "convolution",
        "depthwise",
        "convolution",
        "convolution",
        "dense",
    ]
    assert [layer.channels for layer in model.layers()] == [24, 24, 24, 40, 32]
    table = {tensor.name: tensor for tensor in model.tensors()}
    assert table["scores"].is_classifier and not table["scores"].is_default
    assert table["input"].kind == "input" and table["input"].rank == 4 and table["input"].channels == 3
    assert table["sum"].kind == "other"


def test_default_network(lite0):
    layers = fne.Model(lite0).layers()
    assert len(layers) == 49 and sum(layer.channels for layer in layers) == 21_008
    assert layers[0].name == "stem/Relu6" and layers[-1].name == "head/Relu6"


def test_selectors(network):
    graph, taps, _ = network

    def names(layers):
        with fne.Extractor(graph, layers=layers) as extractor:
            return [layer.name for layer in extractor.layers]

    names_of_taps = [tap.removesuffix(":0") for tap in taps]
    assert names(None) == names_of_taps
    assert names("all") == [*names_of_taps, "scores"]
    assert names("last:25%") == names_of_taps[-2:]  # ceil(1.25)
    assert names("last:100%") == names_of_taps
    assert names("relu*") == ["relu1", "relu2", "relu5"]
    assert names(["relu[25]", "import/relu1:0"]) == ["relu2", "relu5", "relu1"]
    assert names(["sum", "probabilities"]) == ["sum", "probabilities"]
    with pytest.raises(ValueError, match="selected twice"):
        names(["relu1", "import/relu1:0"])
    with pytest.raises(fne.UnknownTensorError, match="matches 'conv9"):
        names("conv9*")


def test_unknown_tensor_lists_the_nearest(network):
    with pytest.raises(fne.UnknownTensorError, match="no tensor 'import/rellu1:0'. The nearest names are 'relu1'"):
        fne.Extractor(network[0], layers=["import/rellu1:0"])
    with pytest.raises(fne.UnknownTensorError, match="nearest names are 'input'"):
        fne.Extractor(network[0], "inptu:0")


def test_columns_follow_the_selection(network):
    with fne.Extractor(network[0], layers=["relu5", "relu1"]) as extractor:
        assert [(layer.features.start, layer.features.stop) for layer in extractor.layers] == [(0, 32), (32, 56)]
        assert [layer.rank for layer in extractor.layers] == [2, 4]


# ---- graphs that are refused


def graph_of(build):
    with tf.Graph().as_default() as graph:
        build(tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input"))
    return graph.as_graph_def()


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"This is no graph at all.", "is a text file"),
        (b"\0\1 no graph at all", "field number|wire type|longer than"),
        (b"\x89HDF\r\n\x1a\n0000", "HDF5"),
        (b"PK\x03\x04zipzip", "ZIP"),
        (b"node {\n name: 'x'\n}\n", "text format"),
        (b"\x08\x01\x12\x02\x0a\x00", "SavedModel"),
        (b"\x22\x03\x08\xbf\x08", "no nodes"),
    ],
)
def test_no_graph(tmp_path, content, reason):
    path = tmp_path / "model.pb"
    path.write_bytes(content)
    with pytest.raises(fne.GraphError, match=reason) as caught:
        fne.Model(path)
    assert "model.pb" in str(caught.value)


def test_model_file_errors(tmp_path):
    with pytest.raises(fne.FileError, match="No such file"):
        fne.Model(tmp_path / "nothing.pb")
    with pytest.raises(fne.FileError, match="folder"):
        fne.Model(tmp_path)
    with pytest.raises(TypeError, match="a model is a path"):
        fne.Model(42)


def test_truncated_graph_is_an_error_or_a_smaller_graph(network):
    data = network[0].SerializeToString()
    outcomes = set()
    for length in range(0, len(data), 61):
        try:
            outcomes.add(type(fne.Model(data[:length])))
        except fne.GraphError as error:
            outcomes.add(type(error))
    assert fne.GraphError in outcomes


def test_unsafe_operation_is_refused():
    def read_length(path):
        return tf.cast(tf.strings.length(tf.io.read_file(path, name="spy")), tf.float32)

    graph = graph_of(lambda x: tf.add(x, read_length("/etc/hostname"), "y"))
    with pytest.raises(fne.UnsafeGraphError, match="node 'spy' is a 'ReadFile'"):
        fne.Extractor(graph, layers="y", size=(8, 8))
    assert fne.Extractor(fne.Model(graph, allow_unsafe=True), layers="y", size=(8, 8)).feature_count == 3


def test_what_the_layers_do_not_need_is_no_fault():
    """A graph that decodes files in front of its images. TensorFlow gets what follows the input that is named."""
    from tensorflow.compat import v1

    kernel = np.random.default_rng(4).normal(size=(3, 3, 3, 5)).astype(np.float32)
    with v1.Graph().as_default() as graph:
        name = v1.placeholder(tf.string, [], name="name")
        decoded = tf.io.decode_jpeg(tf.io.read_file(name), channels=3, name="decoded")
        image = tf.expand_dims(tf.cast(decoded, tf.float32), 0, name="image")
        layer = tf.nn.relu(tf.nn.conv2d(image / 255, kernel, 1, "SAME", name="c"), name="r")
        v1.io.write_file("/nowhere/written", tf.io.serialize_tensor(layer), name="written")
    data = graph.as_graph_def().SerializeToString()
    pixels = np.random.default_rng(5).integers(0, 256, (2, 8, 8, 3), np.uint8)
    with fne.Extractor(data, input_tensor="image", size=(8, 8)) as extractor:
        found = extractor.extract(list(pixels)).features
    wanted = tf.reduce_mean(
        tf.nn.relu(tf.nn.conv2d(pixels.astype(np.float32) / 255, kernel, 1, "SAME")), [1, 2]
    ).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(fne.InvalidArgumentError, match="'name' .string., which cannot be given a value"):
        fne.Extractor(data, input_tensor="image", layers=["r", "decoded"], size=(8, 8))


def test_unsafe_operation_in_a_function_body_is_refused():
    @tf.function
    def inner(x):
        return x + tf.strings.to_number(tf.io.read_file("/etc/hostname", name="hidden"))

    graph = graph_of(lambda x: tf.identity(inner(x), "y"))
    with pytest.raises(fne.UnsafeGraphError, match="'hidden' of function '.*inner.*' is a 'ReadFile'"):
        fne.Extractor(graph, layers="y", size=(8, 8))


def varint(field, value):
    return bytes([field << 3, value])


def part(field, *contents):
    data = b"".join(content.encode() if isinstance(content, str) else content for content in contents)
    size, length = len(data), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + data


def test_fields_that_other_readers_see_differently_are_refused():
    """Protobuf ignores a field of the wrong type, keeps the last of two and merges messages; a check must not be led to
    read something else than TensorFlow will."""
    name, unsafe = part(1, "spy"), part(2, "WriteFile")
    tensor = varint(1, 1) + part(2, part(2, varint(1, 8)))
    value = part(5, part(1, "value"), part(2, part(8, tensor), varint(8, 8)))
    two_shapes = part(5, part(1, "value"), part(2, part(8, tensor, part(2, part(2, varint(1, 8))))))
    for content in (
        part(1, name, unsafe, varint(2, 0)),
        part(1, name, unsafe, part(2, "Identity")),
        part(1, name, varint(1, 3), unsafe),
        part(1, name),
        part(1, name, part(2, "Const"), value),
        part(1, name, part(2, "Const"), two_shapes),
        part(1, name, part(2, "Placeholder"))
        + part(2, part(1, part(1, part(1, "f"), varint(1, 0)), part(3, name, unsafe))),
        part(1, name, part(2, "Placeholder")) + part(2, part(1, part(3, name, unsafe))),
    ):
        with pytest.raises(fne.GraphError) as caught:
            fne.Model(content)
        assert not isinstance(caught.value, fne.UnsafeGraphError)
    with pytest.raises(fne.UnsafeGraphError):
        fne.Extractor(part(1, part(1, "x"), part(2, "Placeholder")) + part(1, name, unsafe), "x", "spy", (8, 8))


def test_constants_together_are_bounded():
    """A hundred constants of 2 GB that hold one value each."""
    shape = part(2, part(2, b"\x08\x80\x80\x80\x80\x02"))  # 2^29 floats
    nodes = [
        part(1, part(1, f"c{i}"), part(2, "Const"), part(5, part(1, "value"), part(2, part(8, varint(1, 1), shape))))
        for i in range(100)
    ]
    nodes.append(part(1, part(1, "sum"), part(2, "AddN"), *(part(3, f"c{i}") for i in range(100))))
    nodes.append(part(1, part(1, "x"), part(2, "Placeholder")))
    with pytest.raises(fne.GraphError, match="more memory than the graph can fill"):
        fne.Extractor(b"".join(nodes), "x", "sum", (8, 8))


def test_channels_first_is_refused():
    graph = graph_of(
        lambda x: tf.nn.conv2d(
            tf.transpose(x, [0, 3, 1, 2]), np.ones((1, 1, 3, 4), np.float32), 1, "SAME", "NCHW", name="c"
        )
    )
    with pytest.raises(fne.TensorError, match="node 'c' works in the layout NCHW"):
        fne.Extractor(graph)


def test_a_placeholder_with_a_default_is_an_input():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder_with_default(np.zeros((1, 8, 8, 3), np.float32), [None, 8, 8, 3], "input")
        tf.nn.relu(tf.nn.conv2d(x, np.ones((1, 1, 3, 4), np.float32), 1, "SAME"), name="relu")
    with fne.Extractor(graph.as_graph_def(), "input") as extractor:
        assert [layer.name for layer in extractor.layers] == ["relu"]
        np.testing.assert_array_equal(extractor.extract(np.ones((2, 8, 8, 3), np.float32)).features, np.full((2, 4), 3))


def test_scores_that_are_only_ranked_are_a_classifier():
    weights = np.ones((192, 7), np.float32)
    graph = graph_of(
        lambda x: tf.argmax(tf.nn.bias_add(tf.matmul(tf.reshape(x, [-1, 192]), weights), weights[0], name="s"), 1)
    )
    assert [tensor.name for tensor in fne.Model(graph).tensors() if tensor.is_classifier] == ["s"]


def test_a_dense_layer_on_a_map():
    """Keras' Dense on [n, h, w, c]: Reshape, MatMul, Reshape, BiasAdd."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Dense(5, activation="relu")(inputs)
    x = keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    expected = keras.Model(inputs, model.layers[1].output).predict(pixels, verbose=0).mean((1, 2))
    with fne.Extractor(freeze(model, (None, 8, 8, 3))) as extractor:
        np.testing.assert_allclose(extractor.extract(pixels).features, expected, atol=1e-6)


def test_thousands_of_layers_take_no_time():
    """Once quadratic: minutes. The assertion is that it returns."""
    weights = part(1, part(1, "w"), part(2, "Const"))
    head = weights + part(1, part(1, "input"), part(2, "Placeholder"))
    convolutions = b"".join(
        part(1, part(1, f"conv{i}"), part(2, "Conv2D"), part(3, "input"), part(3, "w")) for i in range(30_000)
    )
    total = part(1, part(1, "sum"), part(2, "AddN"), *(part(3, f"conv{i}") for i in range(30_000)))
    assert len(fne.Model(head + convolutions + total).layers()) == 30_000


def test_wrong_rank_and_type():
    graph = graph_of(
        lambda x: (
            tf.cast(x, tf.int16, name="whole"),
            tf.reshape(x, tf.cast(tf.reduce_sum(x, name="s"), tf.int32)[None], name="unknown"),
        )
    )
    for name, reason in [
        ("whole", "is int16"),
        ("s", r"'s' cannot be told apart.* \[\] for 1 image, and \[\] for 3"),
    ]:
        with pytest.raises(fne.TensorError, match=reason):
            fne.Extractor(graph, layers=[name])
    with pytest.raises(fne.UnknownTensorError, match="has 1 outputs"):
        fne.Extractor(graph, layers=["whole:3"])


def test_input_that_is_no_image():
    with tf.Graph().as_default() as graph:
        tf.identity(tf.compat.v1.placeholder(tf.float32, [None, 7], "vector"), "y")
    with pytest.raises(fne.TensorError, match=r"'vector' has shape \[\?, 7\]; images need"):
        fne.Extractor(graph.as_graph_def(), layers=["y"], size=(8, 8))


def test_size_must_fit_the_graph(network):
    with pytest.raises(ValueError, match="height is 50, but the graph's input has a fixed height of 48"):
        fne.Extractor(network[0], size=(50, 64))


def test_no_layers_at_all():
    with pytest.raises(fne.UnknownTensorError, match="no convolution and no dense layer"):
        fne.Extractor(graph_of(lambda x: tf.nn.relu(x)))
