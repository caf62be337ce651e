"""Keras models and SavedModels, against Keras itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import fne
from fne import _freeze
from fne._saved_model import saved_model_graph
from fne.zoo import cache_folder, from_keras, keras_preprocessing


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    inner = keras.Sequential([keras.layers.Conv2D(12, 3, activation="relu", name="inner_conv")], name="inner")
    x = inputs = keras.Input((None, None, 3), name="pictures")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scale")(x)
    x = keras.layers.Conv2D(8, 3, strides=2, name="conv", use_bias=False)(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(x)
    x = inner(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(20, activation="relu", name="dense")(x)
    x = keras.layers.Dense(5, activation="softmax", name="classes")(x)
    return keras.Model(inputs, x)


def expected(model, names, batch):
    outputs = [model.get_layer(name).output for name in names]
    values = keras.Model(model.inputs, outputs)([batch], training=False)
    values = [np.asarray(value) for value in (values if isinstance(values, list) else [values])]
    return np.concatenate([value.mean((1, 2)) if value.ndim == 4 else value for value in values], 1)


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(2).uniform(0, 255, (3, 40, 48, 3)).astype(np.float32)


def test_keras_models(model, batch):
    names = ["dense", "relu", "conv", "classes", "depthwise"]
    with fne.Extractor(model, layers=names, size=(40, 48)) as extractor:
        got = extractor.extract(batch).features
    np.testing.assert_allclose(got, expected(model, names, batch), rtol=1e-5, atol=1e-5)
    opened = fne.Model(model)
    assert [opened.aliases[name] for name in ("relu", "depthwise")] == [layer.name for layer in opened.layers()[:2]]
    with fne.Extractor(opened, size=(40, 48)) as extractor:  # default layers: after the activation, without the classes
        got = extractor.extract(batch).features
        assert [layer.kind for layer in extractor.layers] == ["convolution", "depthwise", "convolution", "dense"]
    np.testing.assert_allclose(got[:, :16], expected(model, ["relu", "depthwise"], batch), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got[:, -20:], expected(model, ["dense"], batch), rtol=1e-5, atol=1e-5)
    assert opened.resolved(["de*", "scale", "other"]) == [
        opened.aliases["depthwise"],
        opened.aliases["dense"],
        opened.aliases["scale"],
        "other",
    ]


def test_selectors_of_keras_names(model):
    opened = fne.Model(model)
    dense, relu, depthwise = (opened.aliases[name] for name in ("dense", "relu", "depthwise"))
    graphs_own = ["all", "last:50%", "conv/nothing*", dense]
    assert opened.resolved(graphs_own) == graphs_own
    every = opened.resolved("*")
    assert len(every) == len(set(every)) and set(every) == set(opened.aliases.values())
    assert opened.resolved(["relu", "de[np]*"]) == [relu, depthwise, dense]
    assert opened.resolved(["d*", "dense"]) == [depthwise, dense], "a name after a glob that has it"
    with pytest.raises(fne.InvalidArgumentError, match="twice"):
        fne.Extractor(opened, layers=["dense", "relu", "dense"], size=(40, 48))
    with fne.Extractor(opened, layers=["dense", "last:25%"], size=(40, 48)) as extractor:
        assert [layer.name for layer in extractor.layers] == [dense]


def test_full_network_embedding_takes_keras_names(model, photographs):
    pixels = [fne.resize(fne.read_image(path), (40, 40)) for path in photographs[:7]]
    rows = expected(model, ["conv", "dense"], np.stack(pixels).astype(np.float32)).astype(np.float64)
    z = (rows - rows.mean(0)) / np.where(rows.std(0) == 0, 1, rows.std(0))
    features, stats = fne.full_network_embedding(
        model, photographs[:7], 4, None, None, (40, 40), target_layer_names=["conv", "dense"]
    )
    np.testing.assert_allclose(stats, [rows.mean(0), rows.std(0)], rtol=1e-5, atol=1e-6)
    assert np.mean(features == (z > 0.15).astype(int) - (z < -0.25)) > 0.99
    with pytest.raises(fne.InvalidArgumentError, match="both"):
        fne.full_network_embedding(model, photographs[:7], 4, None, ["x"], (40, 40), target_layer_names=["conv"])


def test_saved_models(tmp_path, model, batch):
    model.export(tmp_path / "saved", verbose=False)
    with fne.Extractor(model, size=(40, 48)) as extractor:
        rows = extractor.extract(batch).features
    for source in (tmp_path / "saved", str(tmp_path / "saved")):
        with fne.Extractor(source, size=(40, 48)) as extractor:
            np.testing.assert_allclose(extractor.extract(batch).features, rows, rtol=1e-6, atol=1e-6)
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises(Exception, match="saved_model|SavedModel"):
        fne.Model(tmp_path / "saved")


def test_saved_models_that_take_no_images(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x * 2}, input_signature=[tf.TensorSpec([None, 5])])
    tf.saved_model.save(module, tmp_path / "vector", signatures=module.f)
    with pytest.raises(fne.TensorError, match="images are needed"):
        fne.Model(tmp_path / "vector")


def test_frozen_once(model):
    fne.Model(model).close()
    files = {path: path.stat().st_mtime_ns for path in cache_folder().iterdir()}
    assert len(files) == 2
    fne.Model(model).close()
    assert {path: path.stat().st_mtime_ns for path in cache_folder().iterdir()} == files
    changed = keras.models.clone_model(model)
    changed.set_weights([weight * 1.5 for weight in model.get_weights()])
    fne.Model(changed).close()
    assert len(list(cache_folder().iterdir())) == 4
    for path in cache_folder().glob("*.pb"):  # half a cache is mended
        path.unlink()
    fne.Model(model).close()
    assert len(list(cache_folder().glob("*.pb"))) == 1


def test_from_keras(tmp_path):
    path = from_keras("MobileNet", weights=None)
    assert path.parent == cache_folder() and len(fne.Model(path).layers()) == 27
    assert from_keras("MobileNet", weights=None) == path
    with pytest.raises(fne.InvalidArgumentError, match="no network 'MobileNet9'"):
        from_keras("MobileNet9")


def test_files_of_weights_with_one_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.keras.applications, "VGG16", lambda weights: weights)
    monkeypatch.setattr(_freeze, "keras_graph", lambda weights: (Path(weights).read_bytes(), {}))
    files = [tmp_path / folder / "mine.weights.h5" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text(str(file))
    for file in (*files, files[0]):
        assert from_keras("VGG16", str(file)).read_text() == str(file)


def test_weights_that_cannot_be_had(monkeypatch):
    def fail(weights):
        raise OSError("no route to host")

    monkeypatch.setattr(tf.keras.applications, "VGG16", fail)
    with pytest.raises(fne.FileError, match="no route to host.*copy"):
        from_keras("VGG16")
    assert not list(cache_folder().glob("*")) if cache_folder().exists() else True


@pytest.mark.parametrize(
    "name",
    [
        "VGG16",
        "ResNet50",
        "ResNet50V2",
        "MobileNetV2",
        "MobileNetV3Small",
        "DenseNet121",
        "InceptionResNetV2",
        "Xception",
        "EfficientNetB0",
        "EfficientNetV2B0",
        "ConvNeXtTiny",
        "NASNetMobile",
    ],
)
def test_preprocessing_is_that_of_keras(name):
    modules = {
        "ResNet50V2": "resnet_v2",
        "ResNet50": "resnet",
        "MobileNetV3Small": "mobilenet_v3",
        "DenseNet121": "densenet",
        "InceptionResNetV2": "inception_resnet_v2",
        "EfficientNetB0": "efficientnet",
        "NASNetMobile": "nasnet",
        "EfficientNetV2B0": "efficientnet_v2",
        "ConvNeXtTiny": "convnext",
        "MobileNetV2": "mobilenet_v2",
    }
    module = getattr(keras.applications, modules.get(name, name.lower()))
    pixels = np.random.default_rng(1).integers(0, 256, (1, 6, 5, 3)).astype(np.float32)
    options = {"channel_order": "rgb", "mean": 0.0, "scale": 1.0, **keras_preprocessing(name)}
    fed = pixels[..., ::-1] if options["channel_order"] == "bgr" else pixels
    fed = (fed - np.float32(options["mean"])) * np.float32(options["scale"])
    np.testing.assert_allclose(fed, module.preprocess_input(pixels.copy()), rtol=1e-5, atol=1e-4)
    with pytest.raises(fne.InvalidArgumentError):
        keras_preprocessing("NoNet")


def test_two_processes_freeze_at_once(tmp_path):
    program = "import fne.zoo; print(fne.zoo.from_keras('MobileNet', weights=None).stat().st_size)"
    started = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sizes = {process.communicate()[0].strip() for process in started}
    assert len(sizes) == 1 and len(list(cache_folder().iterdir())) == 1
    shutil.rmtree(cache_folder())


def test_models_without_an_input_shape():
    with pytest.raises(fne.TensorError, match="no input of a known shape.*keras.Input"):
        fne.Model(keras.Sequential([keras.layers.Conv2D(3, 3)]))


class Choice(keras.layers.Layer):
    """Keras freezes it to functions whose names TensorFlow numbers."""

    def call(self, x):
        return tf.cond(
            tf.reduce_sum(x) > 0, lambda: 2 * x, lambda: tf.cond(tf.reduce_mean(x) > -1, lambda: x, lambda: -x)
        )


def test_a_model_is_the_same_bytes_each_time(tmp_path):
    """A job knows its model by the bytes, and goes on with the same Keras model."""
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((16, 16, 3))
    for number in range(4):
        x = keras.layers.Conv2D(8, 3, groups=8 if number == 2 else 1, padding="same", activation="gelu")(x)
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Reshape((-1, 8))(Choice()(x))
    model = keras.Model(inputs, keras.layers.MultiHeadAttention(2, 4)(x, x))
    model.export(tmp_path / "folder", verbose=False)
    assert len({_freeze.keras_graph(model).graph for _ in range(4)}) == 1
    assert len({saved_model_graph(tmp_path / "folder").graph for _ in range(3)}) == 1
