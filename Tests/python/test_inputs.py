"""What networks are fed with: grey images, inputs of other types than float32, tensors of half precision, and which
placeholder takes the images. Against OpenCV, NumPy, Keras and TensorFlow's own runs."""

from __future__ import annotations

import io

import cv2
import keras
import ml_dtypes
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from test_images import photograph
from test_preprocessing import center_crop, resized, shortest_side, ten_crop

import fne

v1 = tf.compat.v1
REAL = ["float16", "bfloat16", "float64"]
WHOLE = ["uint8", "int16", "uint16", "int32", "int64", "uint32", "uint64"]


def graph_of(build):
    with tf.Graph().as_default() as graph:
        build()
    return graph.as_graph_def()


def network(build, channels=3, dtype="float32", height=None, width=None):
    """A GraphDef that build writes from its input, [None, height, width, channels]."""
    return graph_of(lambda: build(v1.placeholder(dtype, [None, height, width, channels], "input")))


def weights(*shape, seed=3):
    return np.random.default_rng(seed).normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape)


def evaluate(graph_def, names, batch, fed="input:0"):
    """The tensors that TensorFlow gives, averaged over height and width in float64: [n, F]."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with v1.Session(graph=graph) as session:
            values = session.run([name + ":0" for name in names], {fed: batch})
    rows = [value.astype(np.float64) for value in values]
    return np.concatenate([row.mean((1, 2)) if row.ndim == 4 else row for row in rows], axis=1)


def pictures(count, height, width):
    """Parts of a photograph, uint8 [height, width, 3]."""
    return [np.ascontiguousarray(photograph(height + number, width)[number:]) for number in range(count)]


def as_type(values, dtype):
    return values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


# ---- grey


def grey(image):
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]


def grey_network(height=None, width=None):
    return network(
        lambda x: tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 1, 8).astype(np.float32), 1, "SAME"), "y"),
        1,
        "float32",
        height,
        width,
    )


def test_the_grey_of_every_colour():
    red, green, blue = (np.arange(2**24, dtype=np.uint32) >> shift & 255 for shift in (16, 8, 0))
    colours = np.stack([red, green, blue], 1).astype(np.uint8).reshape(4096, 4096, 3)
    with fne.Extractor(grey_network(), size=(4096, 4096)) as extractor:
        assert extractor.channels == 1
        np.testing.assert_array_equal(extractor.preprocess(colours)[0], grey(colours))


@pytest.mark.parametrize("interpolation", ["bilinear", "antialiased"])
@pytest.mark.parametrize("mode", ["stretch", "shortest_side"])
@pytest.mark.parametrize("crops", [1, 10])
def test_grey_of_resized_images(mode, interpolation, crops):
    """The image is resized, cropped, and then made grey. The first mean and the first scale apply."""
    options = {"resize_mode": mode, "interpolation": interpolation, "resize_size": (40, 40), "crops": crops}
    with fne.Extractor(grey_network(), size=(32, 36), mean=(3, 99, 7), scale=(0.5, 99, 7), **options) as extractor:
        for size in [(61, 83), (40, 40), (20, 400), (250, 21), (80, 80)]:
            image = photograph(*size)
            # The smallest picture that covers 40 x 40.
            picture = resized(image, *((40, 40) if mode == "stretch" else shortest_side(*size, 40)), interpolation)
            parts = ten_crop(picture, 32, 36) if crops == 10 else [center_crop(picture, 32, 36)]
            expected = [(grey(part).astype(np.float32) - 3) * np.float32(0.5) for part in parts]
            np.testing.assert_array_equal(extractor.preprocess(image), expected)


def test_grey_images_from_every_source(photographs):
    """Files, bytes, pixels, Pillow's images, other formats and tensors, against TensorFlow with OpenCV's grey."""
    graph = grey_network(48, 64)
    pixels = [fne.read_image(path) for path in photographs[:6]]
    fed = np.stack([grey(cv2.resize(image, (64, 48))) for image in pixels]).astype(np.float32)
    expected = evaluate(graph, ["y"], fed)
    bitmaps = [cv2.imencode(".bmp", image[..., ::-1])[1].tobytes() for image in pixels]
    with fne.Extractor(graph, pad_batches=True) as extractor:
        assert (extractor.size, extractor.channels) == ((48, 64), 1)
        rows = extractor.extract(fed).features
        np.testing.assert_allclose(rows, expected, rtol=1e-5)
        encoded = [path.read_bytes() for path in photographs[:6]]
        for images in (photographs[:6], encoded, pixels, [PIL.Image.fromarray(image) for image in pixels], bitmaps):
            np.testing.assert_array_equal(extractor.extract(images).features, rows)
        for shape in [(2, 48, 64, 3), (2, 48, 64)]:
            with pytest.raises(fne.InvalidArgumentError, match=r"\[N, 48, 64, 1\] is needed"):
                extractor.extract(np.zeros(shape, np.float32))
    with fne.Extractor(graph, channel_order="bgr", pad_batches=True) as extractor:
        np.testing.assert_array_equal(extractor.extract(pixels).features, rows)


def test_a_grey_image_keeps_its_values():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    encoded = io.BytesIO()
    PIL.Image.fromarray(values).save(encoded, "PNG")
    with fne.Extractor(grey_network(), size=(16, 16)) as extractor:
        np.testing.assert_array_equal(extractor.preprocess(encoded.getvalue())[0, ..., 0], values)


def test_channels_that_the_graph_leaves_open():
    graph = network(lambda x: tf.multiply(tf.reduce_mean(x, 3, keepdims=True), 2, name="y"), None)
    image = photograph(8, 8)
    for channels, fed in [(None, image), (3, image), (1, grey(image))]:
        with fne.Extractor(graph, layers="y", size=(8, 8), channels=channels) as extractor:
            assert extractor.channels == fed.shape[2]
            np.testing.assert_allclose(extractor.extract([image]).features, [[2 * fed.mean()]], rtol=1e-6)
    with pytest.raises(fne.InvalidArgumentError, match="channels is 2; it must be 3, or 1 for grey"):
        fne.Extractor(graph, layers="y", size=(8, 8), channels=2)
    for channels, other in [(1, 3), (3, 1)]:
        with pytest.raises(ValueError, match=f"channels is {other}, but the graph's input has a fixed number of"):
            fne.Extractor(network(tf.identity, channels), layers="Identity", size=(8, 8), channels=other)


def test_a_job_of_grey_images(photographs, tmp_path):
    kernel = weights(3, 3, 1, 4).astype(np.float32)
    graph = network(lambda x: tf.nn.relu(tf.nn.conv2d(tf.reduce_mean(x, 3, keepdims=True), kernel, 1, "SAME")), None)
    paths = photographs[:5]
    with fne.Extractor(graph, size=(32, 32), channels=1, pad_batches=True) as extractor:
        expected = extractor.extract(paths).features
    job = fne.embed_dataset(paths, graph, tmp_path / "job", size=(32, 32), channels=1)
    np.testing.assert_array_equal(job.features(), expected)
    assert job.manifest["settings"]["input"]["channels"] == 1
    with job.extractor(graph) as again:
        np.testing.assert_array_equal(again.extract(paths).features, expected)
    with pytest.raises(fne.JobMismatchError, match="channels"):
        fne.embed_dataset(paths, graph, tmp_path / "job", size=(32, 32))


def test_grey_in_the_transformers_of_scikit_learn():
    from fne.sklearn import FullNetworkFeatures

    images = pictures(3, 32, 32)
    graph = grey_network(32, 32)
    rows = FullNetworkFeatures(graph.SerializeToString(), cache=None).fit().transform(images)
    expected = evaluate(graph, ["y"], np.stack([grey(image) for image in images]).astype(np.float32))
    np.testing.assert_allclose(rows, expected, rtol=1e-5)


# ---- types


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_are_fed_with_the_pixels(dtype, channels):
    """A random network after the cast that such a graph begins with."""
    seed = WHOLE.index(dtype) + 10 * channels
    kernel = weights(3, 3, channels, 5, seed=seed).astype(np.float32)
    graph = network(
        lambda x: tf.nn.relu(tf.nn.conv2d(tf.cast(x, tf.float32) / 255, kernel, 1, "SAME"), "y"), channels, dtype
    )
    images = [photograph(*size) for size in [(30, 44), (24, 24), (70, 31)]]
    fed = np.stack([cv2.resize(image, (24, 24)) for image in images])
    if channels == 1:
        fed = np.stack([grey(image) for image in fed])
    expected = evaluate(graph, ["y", "input"], fed.astype(dtype))
    with fne.Extractor(graph, layers=["y", "input"], size=(24, 24)) as extractor:
        assert extractor.channels == channels
        rows = extractor.extract(images).features
        np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(extractor.extract(fed.astype(np.float32)).features, expected, rtol=1e-5, atol=1e-6)


def test_whole_numbers_take_no_mean_and_no_scale():
    graph = network(lambda x: tf.cast(x, tf.float32, "y"), dtype="uint8")
    for options in ({"mean": 1}, {"scale": 1 / 255}, {"mean": (0, 0, 1)}):
        with pytest.raises(
            fne.InvalidArgumentError, match="'input' is uint8, so it is fed with the pixels as they are. mean must be 0"
        ):
            fne.Extractor(graph, layers="y", size=(8, 8), **options)


@pytest.mark.parametrize(
    ("dtype", "value", "bounds"),
    [
        ("uint8", 3.5, "0 to 255"),
        ("uint8", 256, "0 to 255"),
        ("uint8", -1, "0 to 255"),
        ("int16", 32768, "-32768 to 32767"),
        ("int64", 1e30, "-16777216 to 16777216"),
        ("uint32", -1, "0 to 16777216"),
    ],
)
def test_numbers_that_are_not_whole_are_named(dtype, value, bounds):
    graph = network(lambda x: tf.cast(x, tf.float32, "y"), dtype=dtype)
    batch = np.full((3, 2, 2, 3), 7, np.float32)
    batch[1, 0, 1, 2] = value
    message = rf"image 1 of 3: .* numbers from {bounds}, but element 5 of its input is "
    with (
        fne.Extractor(graph, layers="y", size=(2, 2)) as extractor,
        pytest.raises(fne.InvalidArgumentError, match=message),
    ):
        extractor.extract(batch)
    with fne.Extractor(graph, layers="y", size=(2, 2), on_error="skip") as extractor:
        assert extractor.extract(batch).ok.tolist() == [True, False, True]


def test_the_bounds_of_whole_numbers_are_exact():
    graph = network(lambda x: tf.cast(x, tf.float64, "y"), dtype="int16")
    batch = np.float32([[[[-32768, 32767, -1]]]])
    with fne.Extractor(graph, layers=["y"], size=(1, 1)) as extractor:
        np.testing.assert_array_equal(extractor.extract(batch).features, batch[:, 0, 0])


@pytest.mark.parametrize("dtype", REAL)
def test_inputs_of_other_real_types(dtype):
    """The numbers after mean and scale are cast to the graph's type, which float16 and bfloat16 round."""
    graph = network(lambda x: tf.nn.relu(x * as_type(weights(3), dtype), "y"), dtype=dtype)
    images = pictures(3, 20, 20)
    options = {"mean": 100.3, "scale": 0.017, "size": (20, 20)}
    fed = as_type((np.stack(images).astype(np.float32) - np.float32(100.3)) * np.float32(0.017), dtype)
    with fne.Extractor(graph, layers=["y", "input"], **options) as extractor:
        rows = extractor.extract(images).features
    np.testing.assert_allclose(rows, evaluate(graph, ["y", "input"], fed), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("seed", range(3))
def test_random_networks_of_other_real_types(dtype, seed):
    random = np.random.default_rng(seed)
    channels = [int(count) for count in random.integers(1, 40, 3)]

    def build(x):
        y = tf.cast(x, dtype)
        for number, count in enumerate(channels):
            # bfloat16 convolutions need AVX-512, so that type has a product per channel.
            if dtype == "bfloat16":
                y = tf.concat([y * as_type(random.normal(1, 1, 1), dtype) for _ in range(2)], 3)
            else:
                y = tf.nn.conv2d(y, as_type(weights(3, 3, y.shape[3], count, seed=seed), dtype), 1, "SAME")
            y = tf.nn.relu(y + as_type(random.normal(0, 1, 1), dtype), f"y{number}")
        # The product is of float32, and what is taken is not.
        dense = tf.matmul(tf.cast(tf.reduce_mean(y, [1, 2]), tf.float32), np.eye(y.shape[3], dtype=np.float32))
        tf.cast(dense, dtype, "dense")

    graph = network(build)
    batch = random.normal(0, 1, (5, 17, 23, 3)).astype(np.float32)
    names = ["y0", "y1", "y2", "dense"]
    with fne.Extractor(graph, layers=names, size=(17, 23), batch_size=5) as extractor:
        rows = extractor.extract(batch).features
    # TensorFlow may order the sums inside of a convolution otherwise, which shows in the last bit of half precision.
    tolerance = {"float16": 2e-3, "bfloat16": 2e-6, "float64": 2e-6}[dtype]
    expected = evaluate(graph, names[:3], batch)
    np.testing.assert_allclose(rows[:, : expected.shape[1]], expected, rtol=tolerance, atol=tolerance / 10)
    coarse = {"float16": 4e-3, "bfloat16": 2e-2, "float64": 2e-6}[dtype]
    np.testing.assert_allclose(
        rows[:, expected.shape[1] :], evaluate(graph, ["dense"], batch), rtol=coarse, atol=coarse
    )


@pytest.mark.parametrize("dtype", REAL)
def test_averages_of_half_precision_are_summed_in_float32(dtype):
    """A sum of 16,384 values of about 1000 is above the largest number of float16, which is 65,504."""
    graph = network(lambda x: tf.cast(x, dtype, "y"))
    batch = np.random.default_rng(2).uniform(900, 1100, (2, 128, 128, 3)).astype(np.float32)
    with fne.Extractor(graph, layers=["y"], size=(128, 128)) as extractor:
        rows = extractor.extract(batch).features
    np.testing.assert_allclose(rows, as_type(batch, dtype).astype(np.float64).mean((1, 2)), rtol=1e-6)


def test_taps_before_the_bias_of_half_precision():
    """float32 taps move to after the bias. With 2000 added, half precision would leave nothing of values below 1."""
    kernel, bias = weights(1, 1, 3, 8).astype(np.float16), np.full(8, 2000, np.float16)

    def build(x):
        y = tf.nn.conv2d(tf.cast(x, tf.float16), kernel, 1, "SAME", name="conv")
        tf.nn.relu(tf.nn.bias_add(y, bias), "relu")

    graph = network(build)
    batch = np.random.default_rng(4).uniform(-0.3, 0.3, (3, 8, 8, 3)).astype(np.float32)
    with fne.Extractor(graph, layers=["conv", "relu"], size=(8, 8)) as extractor:
        rows = extractor.extract(batch).features
    np.testing.assert_allclose(rows, evaluate(graph, ["conv", "relu"], batch), rtol=1e-3, atol=1e-5)


def test_a_keras_model_of_mixed_precision():
    keras.utils.set_random_seed(5)
    policy = {"dtype": "mixed_float16"}
    inputs = keras.Input((24, 24, 3))
    x = a = keras.layers.Conv2D(12, 3, activation="relu", **policy)(inputs)
    x = keras.layers.DepthwiseConv2D(3, **policy)(x)
    x = b = keras.layers.ReLU(6.0, **policy)(keras.layers.BatchNormalization(**policy)(x))
    x = keras.layers.GlobalAveragePooling2D(**policy)(x)
    x = c = keras.layers.Dense(7, activation="relu", **policy)(x)
    outputs = keras.layers.Dense(5, activation="softmax", dtype="float32")(x)
    images = pictures(4, 24, 24)
    model = keras.Model(inputs, outputs)
    batch = np.stack(images).astype(np.float32) / 255
    expected = keras.Model(inputs, [a, b, c]).predict(batch, verbose=0)
    assert {value.dtype for value in expected} == {np.dtype("float16")}
    expected = [value.astype(np.float64) for value in expected]
    expected = np.concatenate([value.mean((1, 2)) if value.ndim == 4 else value for value in expected], axis=1)
    with fne.Extractor(model, scale=1 / 255) as extractor:
        assert [layer.kind for layer in extractor.layers] == ["convolution", "depthwise", "dense"]
        np.testing.assert_allclose(extractor.extract(images).features, expected, rtol=5e-3, atol=5e-3)


def test_tensors_that_are_no_numbers_are_no_layers():
    graph = network(lambda x: (tf.cast(x, tf.int32, "whole"), tf.greater(x, 0, "truth")))
    for name, dtype in [("whole", "int32"), ("truth", "bool")]:
        with pytest.raises(fne.TensorError, match=f"'{name}' is {dtype}. Name a tensor of real numbers"):
            fne.Extractor(graph, layers=name, size=(8, 8))


# ---- tensors that are named as the input


def test_a_tensor_of_another_type_named_as_the_input():
    """What is fed is cast to the type of the tensor, also where that is not the type that the operation reads."""

    def build(x):
        small = tf.raw_ops.ResizeBilinear(images=x, size=[8, 8], name="small")  # of uint8 it makes float32
        half = tf.cast(small, tf.float16, "half")
        whole = tf.identity(tf.cast(half, tf.int32), "whole")
        tf.multiply(tf.cast(whole, tf.float32), 0.5, "y")

    graph = network(build, dtype="uint8")
    batch = np.random.default_rng(6).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)
    for name, dtype in [("small", np.float32), ("half", np.float16), ("whole", np.int32)]:
        with fne.Extractor(graph, name, layers="y", size=(8, 8)) as extractor:
            rows = extractor.extract(batch).features
        np.testing.assert_allclose(rows, evaluate(graph, ["y"], batch.astype(dtype), name + ":0"), rtol=1e-6)
    with pytest.raises(fne.InvalidArgumentError, match="'whole' is int32, so it is fed with the pixels"):
        fne.Extractor(graph, "whole", layers="y", size=(8, 8), scale=2)


# ---- which placeholder takes the images


def placeholders(*which):
    """A graph of placeholders (name, type, shape), or (name, value, shape) with a default value.

    Each is read by an operation of its own, named NAME_read."""

    def build():
        for name, dtype, shape in which:
            if isinstance(dtype, str):
                x = v1.placeholder(dtype, shape, name)
            else:
                x = v1.placeholder_with_default(dtype, shape, name)
            tf.identity(x, name + "_read")

    return graph_of(build)


IMAGE = [None, 8, 8, 3]
DEFAULT = np.zeros((1, 8, 8, 3), np.float32)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ([("keep_prob", "float32", None), ("x", "float32", IMAGE), ("phase_train", "bool", None)], "x"),
        ([("meta", "float32", [None, 7]), ("x", "uint8", IMAGE), ("rate", "float32", [])], "x"),
        ([("map", "float32", [None, 8, 8, 64]), ("grey", "float16", [None, 8, 8, 1])], "grey"),
        ([("names", "string", IMAGE), ("x", "float64", [None, None, None, None])], "x"),
        ([("small", "int8", IMAGE), ("x", "int32", IMAGE)], "x"),  # pixels do not fit int8
        ([("x", DEFAULT, IMAGE), ("rate", np.float32(1), [])], "x"),
        ([("other", DEFAULT, IMAGE), ("x", "float32", IMAGE)], "x"),
        ([("x", DEFAULT, IMAGE), ("keep_prob", "float32", None)], "x"),
        ([("x", "float32", None), ("rate", "float32", []), ("meta", "float32", [None, 7])], "x"),
    ],
)
def test_the_placeholder_that_takes_images(which, expected):
    with fne.Extractor(placeholders(*which), layers=expected, size=(8, 8)) as extractor:
        assert extractor.input_tensor == expected


def test_placeholders_are_listed_where_none_or_several_take_images():
    two = [("a", "float32", IMAGE), ("b", "uint8", [None, None, None, 1]), ("rate", "float32", None)]
    with pytest.raises(
        fne.UnknownTensorError,
        match=r"several inputs that can take images: 'a' \(float32, \[\?, 8, 8, 3\]\), "
        r"'b' \(uint8, \[\?, \?, \?, 1\]\)\. Name the one",
    ):
        fne.Extractor(placeholders(*two), layers="a_read")
    none = [("meta", "float32", [None, 7]), ("phase_train", "bool", None), ("rate", "float32", [])]
    with pytest.raises(
        fne.UnknownTensorError,
        match=r"no placeholder of the graph can take images.*: 'meta' \(float32, \[\?, 7\]\), "
        r"'phase_train' \(bool, of unknown shape\), 'rate' \(float32, \[\]\)\. Name",
    ):
        fne.Extractor(placeholders(*none), layers="meta_read", size=(8, 8))
    many = [(f"p{number}", "float32", IMAGE) for number in range(40)]
    with pytest.raises(fne.UnknownTensorError, match=r"'p11' \(float32, \[\?, 8, 8, 3\]\) and 28 others\. Name"):
        fne.Extractor(placeholders(*many), layers="p0_read")
    with pytest.raises(fne.UnknownTensorError, match="the graph has no placeholder, which images could be fed to"):
        fne.Extractor(graph_of(lambda: tf.constant(DEFAULT, name="c")), layers="c", size=(8, 8))


@pytest.mark.parametrize("dtype", ["bool", "string", "int8", "complex64"])
def test_inputs_that_cannot_hold_pixels(dtype):
    graph = placeholders(("x", dtype, IMAGE))
    for name in (None, "x"):
        with pytest.raises(fne.TensorError, match=f"the input 'x' is {dtype}, which cannot hold pixels"):
            fne.Extractor(graph, name, layers="x_read", size=(8, 8))


def test_a_scalar_in_an_old_graph_has_an_unknown_shape():
    """TensorFlow reads graphs before version 22 so: an unknown shape was written as that of a scalar."""
    graph = placeholders(("x", "float32", []), ("rate", "bool", []))
    with pytest.raises(fne.UnknownTensorError, match=r"'x' \(float32, \[\]\)"):
        fne.Extractor(graph, layers="x_read", size=(8, 8))
    graph.versions.producer = 21
    with fne.Extractor(graph, layers="x_read", size=(8, 8)) as extractor:
        assert extractor.input_tensor == "x"
        np.testing.assert_array_equal(extractor.extract(np.ones((2, 8, 8, 3), np.float32)).features, np.ones((2, 3)))
