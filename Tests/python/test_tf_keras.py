"""The same nested models, made with tf_keras, which is Keras 2."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras_networks import NETWORKS, SIDE, check_nested, pooled, sequential, submodel

import fne


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(2).uniform(0, 255, (3, SIDE, SIDE, 3)).astype(np.float32)


@pytest.mark.parametrize("network", NETWORKS)
def test_nested_models(network, batch):
    check_nested(tf_keras, network, batch)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_files_of_keras_2(ending, tmp_path, batch):
    model = sequential(tf_keras)
    path = tmp_path / ("model" + ending)
    model.save(path)
    with fne.Extractor(model) as one, fne.Extractor(path) as other:
        np.testing.assert_allclose(other.extract(batch).features, one.extract(batch).features, rtol=1e-6)
        assert fne.Model(path).aliases.keys() == fne.Model(model).aliases.keys()


def test_saved_models_of_keras_2(tmp_path, batch):
    model = sequential(tf_keras)
    model.save(tmp_path / "folder", save_format="tf")
    with fne.Extractor(model) as one, fne.Extractor(tmp_path / "folder") as other:
        np.testing.assert_allclose(other.extract(batch).features, one.extract(batch).features, rtol=1e-6)


class Switched(tf_keras.layers.Layer):
    """A layer whose condition AutoGraph translates."""

    def call(self, x):
        if tf.reduce_mean(x) > 100:
            return x * 2.0
        return x


def test_names_with_slashes_and_layers_with_conditions(batch):
    x = inputs = tf_keras.Input((SIDE, SIDE, 3))
    x = tf_keras.layers.Conv2D(5, 3, activation="relu", name="block/conv")(Switched()(x))
    inner = tf_keras.Model(inputs, x, name="inner")
    opened = fne.Model(tf_keras.Sequential([inner, tf_keras.layers.GlobalAveragePooling2D()]))
    assert opened.aliases["inner/block/conv"] == opened.aliases["block/conv"]
    with fne.Extractor(opened, layers="block/conv") as extractor:
        rows = extractor.extract(batch).features
    expected = pooled(submodel(tf_keras, inner, inner.get_layer("block/conv"), batch))
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)


def test_a_model_without_an_input_shape():
    with pytest.raises(fne.TensorError, match=r"no input of a known shape.*keras\.Input"):
        fne.Model(tf_keras.Sequential([tf_keras.layers.Conv2D(3, 3)]))
