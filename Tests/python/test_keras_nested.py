"""Keras models inside Keras models, and models of classes of one's own, against Keras itself."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_networks import NETWORKS, SIDE, base, check_nested, pooled, randomize, sequential, submodel

import fne
from fne.zoo import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(2).uniform(0, 255, (3, SIDE, SIDE, 3)).astype(np.float32)


def placeholders(model):
    """The names, types and shapes of the placeholders of a model that was frozen."""
    graph = tf.compat.v1.GraphDef.FromString(model._origin.portable().graph)
    return {
        node.name: (tf.as_dtype(node.attr["dtype"].type).name, tf.TensorShape(node.attr["shape"].shape).as_list())
        for node in graph.node
        if node.op == "Placeholder"
    }


@pytest.mark.parametrize("network", NETWORKS)
def test_nested_models(network, batch):
    check_nested(keras, network, batch)


def test_a_network_of_keras_applications(batch):
    bare = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3), alpha=0.25)
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)]
    opened = fne.Model(keras.Sequential([bare, *head]))
    assert len(opened.layers()) == len(fne.Model(bare).layers()) + 1 == 28
    names = ["conv_dw_3_relu", "conv_pw_9_relu"]
    with fne.Extractor(opened, layers=names) as extractor:
        rows = extractor.extract(batch).features
    expected = [pooled(submodel(keras, bare, bare.get_layer(name), batch)) for name in names]
    np.testing.assert_allclose(rows, np.concatenate(expected, 1), rtol=1e-5, atol=1e-5)


def test_a_model_that_is_not_built(monkeypatch):
    """Keras 3.3 leaves a Sequential whose first layer is a model without inputs."""
    with monkeypatch.context() as patch:
        patch.setattr(keras.Sequential, "_maybe_rebuild", lambda self: None)
        model = keras.Sequential([base(keras), keras.layers.Conv2D(3, 3)])
    assert not model.built
    assert len(fne.Model(model).layers()) == 3


def test_the_model_is_left_as_it_was(batch):
    model = sequential(keras)
    before = np.asarray(model(batch))
    fne.Model(model).close()
    assert not any("call" in vars(layer) for layer in [*model.layers, *model.layers[0].layers])
    np.testing.assert_array_equal(np.asarray(model(batch)), before)


def test_a_base_that_is_called_twice(batch):
    inner = base(keras)
    inputs = keras.Input((SIDE, SIDE, 3))
    model = randomize(keras.Model(inputs, keras.layers.Add()([inner(inputs), inner(inputs[:, ::-1] / 2)])))
    opened = fne.Model(model)
    assert "base/conv2" not in opened.aliases
    names = ["base/conv2#1", "base/conv2#2"]
    assert opened.resolved("base/conv2") == opened.resolved("conv2") == [opened.aliases[name] for name in names]
    with fne.Extractor(opened, layers="base/conv2") as extractor:
        rows = extractor.extract(batch).features
    fed = (batch, batch[:, ::-1] / 2)
    expected = [pooled(submodel(keras, inner, inner.get_layer("conv2"), images)) for images in fed]
    np.testing.assert_allclose(rows, np.concatenate(expected, 1), rtol=1e-5, atol=1e-5)


def test_names_that_several_layers_have():
    inputs = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(inputs, keras.layers.Concatenate()([base(keras, "left")(inputs), base(keras, "right")(inputs)]))
    opened = fne.Model(model)
    with pytest.raises(fne.UnknownTensorError, match="several layers are called 'conv1'.*'left/conv1', 'right/conv1'"):
        fne.Extractor(opened, layers="conv1")
    both = [opened.aliases["left/conv1"], opened.aliases["right/conv1"]]
    assert opened.resolved("*/conv1") == opened.resolved(["left/conv1", "right/conv1"]) == both


class Block(keras.layers.Layer):
    """A layer of one's own, with a layer in it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = keras.layers.Conv2D(5, 3, name="inner")
        self.factor = 2.0

    def call(self, x):
        return keras.ops.relu(self.inner(x)) * self.factor


def with_block(block):
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), block, keras.layers.Conv2D(4, 3, name="last")])


def test_classes_of_ones_own(batch):
    model = with_block(Block(name="block"))
    with fne.Extractor(model, layers=["block", "block/inner", "inner*", "last"]) as extractor:
        rows = extractor.extract(batch).features
    inner = np.asarray(model.layers[0].inner(batch))
    expected = [np.maximum(inner, 0) * 2, inner, np.asarray(model(batch))]
    np.testing.assert_allclose(rows, np.concatenate([pooled(each) for each in expected], 1), rtol=1e-4, atol=1e-4)
    assert not cache_folder().exists(), "its configuration does not say what a class of one's own computes"
    model.layers[0].factor = 3.0
    with fne.Extractor(model, layers="block") as extractor:
        np.testing.assert_allclose(extractor.extract(batch).features, rows[:, :5] * 1.5, rtol=1e-5)


def test_functions_of_ones_own(batch):
    def network(factor):
        def activation(x):
            return keras.ops.relu(x) * factor

        keras.utils.set_random_seed(3)
        inputs = keras.Input((SIDE, SIDE, 3))
        return keras.Model(inputs, keras.layers.Conv2D(4, 3, activation=activation, name="conv")(inputs))

    rows = []
    for factor in (1.0, 2.0):
        with fne.Extractor(network(factor), layers="conv") as extractor:
            rows.append(extractor.extract(batch).features)
    np.testing.assert_allclose(rows[1], rows[0] * 2, rtol=1e-5)


class Network(keras.Model):
    """A model that is a class."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(5, 3, activation="relu")

    def call(self, x):
        return self.conv(x)


def test_models_that_are_classes(tmp_path, batch):
    model = Network()
    expected = np.asarray(model(batch))
    with pytest.raises(fne.TensorError, match=r"no input of a known shape.*model\.export") as caught:
        fne.Model(model)
    assert "\n" not in str(caught.value)
    model.export(tmp_path / "folder", verbose=False)  # what the message says
    with fne.Extractor(tmp_path / "folder", size=(SIDE, SIDE)) as extractor:
        np.testing.assert_allclose(extractor.extract(batch).features, pooled(expected), rtol=1e-4, atol=1e-4)


class Failing(keras.layers.Layer):
    """A layer that Keras cannot trace."""

    def call(self, x):
        return x if float(keras.ops.max(x)) > 0 else -x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_what_keras_raises(batch):
    with pytest.raises(fne.GraphError, match=r"the Keras model 'mine' cannot be frozen: .*model\.export") as caught:
        fne.Model(keras.Sequential([keras.Input((SIDE, SIDE, 3)), Failing()], name="mine"))
    assert caught.value.__cause__ is not None and "\n" not in str(caught.value)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_a_unet_of_unknown_size(interpolation, batch):
    layers = keras.layers
    inputs = keras.Input((None, None, 3))
    fine = layers.Conv2D(4, 3, padding="same", activation="relu", name="down")(inputs)
    coarse = layers.Conv2D(6, 3, padding="same", activation="relu", name="bottom")(layers.MaxPooling2D()(fine))
    up = layers.UpSampling2D(2, interpolation=interpolation, name="up")(coarse)
    joined = layers.Conv2D(5, 3, padding="same", activation="relu", name="joined")(layers.Concatenate()([up, fine]))
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="classes")(joined))
    with fne.Extractor(model, layers=["up", "joined"], size=(SIDE, SIDE)) as extractor:
        rows = extractor.extract(batch).features
    expected = [pooled(submodel(keras, model, model.get_layer(name), batch)) for name in ("up", "joined")]
    np.testing.assert_allclose(rows, np.concatenate(expected, 1), rtol=1e-5, atol=1e-5)


def test_several_inputs():
    image = keras.Input((SIDE, SIDE, 3), name="image")
    facts = keras.Input((4,), name="facts")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3, activation="relu", name="conv")(image))
    outputs = keras.layers.Dense(3)(keras.layers.Concatenate()([x, facts]))
    for inputs in ([image, facts], {"facts": facts, "image": image}):
        opened = fne.Model(keras.Model(inputs, outputs))
        assert placeholders(opened) == {
            "image": ("float32", [None, SIDE, SIDE, 3]),
            "facts": ("float32", [None, 4]),
        }
        assert opened.aliases["conv"] in [layer.name for layer in opened.layers()]


def test_inputs_keep_their_types():
    inputs = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    opened = fne.Model(keras.Sequential([inputs, keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3)]))
    assert placeholders(opened) == {"input": ("uint8", [None, SIDE, SIDE, 3])}


def test_models_that_take_no_images():
    with pytest.raises(fne.TensorError, match=r"shapes \[\(None, 5\)\]; images are needed"):
        fne.Model(keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)]))


def test_keras_on_another_backend(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(fne.GraphError, match="runs on torch.*KERAS_BACKEND=tensorflow"):
        fne.Model(sequential(keras))
