"""Files and folders that Keras wrote, and those that hold no whole model."""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_networks import SIDE, functional, sequential

import fne
from fne import _keras_file
from fne._command import main
from fne.zoo import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(2).uniform(0, 255, (3, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return functional(keras)


@pytest.fixture(scope="module")
def rows(model, batch):
    """What Keras' own model gives for the default layers."""
    inner = model.get_layer("base")
    taken = keras.Model(inner.inputs, [inner.get_layer(name).output for name in ("relu1", "conv2")])
    maps = [np.asarray(each) for each in taken([batch / 127.5 - 1], training=False)]
    top = keras.Model(model.inputs, model.get_layer("hidden").output)([batch], training=False)
    return np.concatenate([each.mean((1, 2)) for each in maps] + [np.asarray(top)], 1)


def check(path, batch, rows):
    opened = fne.Model(path)
    assert opened.aliases["base/relu1"] == opened.layers()[0].name
    with fne.Extractor(opened) as extractor:
        np.testing.assert_allclose(extractor.extract(batch).features, rows, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.hdf5"])
def test_whole_models(name, tmp_path, model, batch, rows):
    model.save(tmp_path / name)
    check(tmp_path / name, batch, rows)
    check(str(tmp_path / name), batch, rows)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_other_names(name, tmp_path, model, batch, rows):
    model.save(tmp_path / name)
    check((tmp_path / name).rename(tmp_path / "network.model"), batch, rows)


def test_an_unpacked_file(tmp_path, model, batch, rows):
    model.save(tmp_path / "model.keras")
    shutil.unpack_archive(tmp_path / "model.keras", tmp_path / "folder", format="zip")
    check(tmp_path / "folder", batch, rows)


def test_names_of_layers_in_the_command(tmp_path, model, capsys):
    model.save(tmp_path / "model.keras")
    assert main(["layers", str(tmp_path / "model.keras"), "base/*2"]) == 0
    assert re.search(r"base.*conv2.*\n1 default layers, 7 features", capsys.readouterr().out)


def test_a_file_is_read_once(tmp_path, monkeypatch, batch):
    path = tmp_path / "model.keras"
    sequential(keras).save(path)
    aliases = fne.Model(path).aliases
    with monkeypatch.context() as patch:
        patch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras reads it again"))
        assert fne.Model(path).aliases == aliases
    changed = sequential(keras)
    changed.set_weights([weight * 1.5 for weight in changed.get_weights()])
    with fne.Extractor(path) as extractor:
        before = extractor.extract(batch).features
    changed.save(path)
    with fne.Extractor(path) as extractor:
        assert not np.allclose(extractor.extract(batch).features, before)
    assert len(list(cache_folder().glob("*.pb"))) == 2


def test_files_of_keras_2(tmp_path, monkeypatch, model, batch, rows):
    """Keras 3 reads what it can of them. Else the message names tf_keras."""
    path = tmp_path / "model.keras"
    model.save(path)
    rewrite(path, "metadata.json", lambda text: json.dumps({**json.loads(text), "keras_version": "2.15.0"}))
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    check(path, batch, rows)
    rewrite(path, "config.json", lambda text: text.replace("GlobalAveragePooling2D", "OfKeras2"))
    with pytest.raises(fne.GraphError, match="OfKeras2.*custom_objects.*pip install --no-deps tf_keras"):
        fne.Model(path)


def rewrite(path, member, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = change(members[member].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_code_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "model.keras"
    code = keras.layers.Lambda(lambda x: x + 1, output_shape=(SIDE, SIDE, 3))
    network = keras.Sequential([keras.Input((SIDE, SIDE, 3)), code, keras.layers.Conv2D(3, 3)])
    network.save(path)
    with pytest.raises(fne.GraphError, match="Lambda.*safe_mode=False"):
        fne.Model(path)
    assert len(fne.Model(keras.models.load_model(path, safe_mode=False)).layers()) == 1


def test_weights_alone(tmp_path, model):
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "old.h5", "w") as file:  # as Keras 2 wrote it
        file.attrs["layer_names"] = ["conv"]
    for name in ("model.weights.h5", "old.h5"):
        with pytest.raises(fne.GraphError, match=f"{name}' holds the weights .*alone.*load_weights"):
            fne.Model(tmp_path / name)
    network = functional(keras)
    network.load_weights(tmp_path / "model.weights.h5")  # what the message says
    fne.Model(network).close()


def test_other_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(fne.GraphError, match="HDF5 file without a Keras model"):
        fne.Model(tmp_path / "data.h5")
    whole = (tmp_path / "data.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(fne.GraphError, match="damaged"):
        fne.Model(tmp_path / "half.h5")


@pytest.mark.parametrize("member", ["metadata.json", "config.json", "model.weights.h5"])
def test_damaged_files(member, tmp_path, model):
    model.save(tmp_path / "model.keras")
    rewrite_bytes = b"\xff\xfe nothing"
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, rewrite_bytes if name == member else data)
    with pytest.raises(fne.GraphError, match=r"model\.keras"):
        fne.Model(tmp_path / "model.keras")


def test_other_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("notes.txt", b"x")
    with pytest.raises(fne.GraphError, match="ZIP"):
        fne.Model(tmp_path / "other.zip")


@pytest.mark.parametrize(
    ("missing", "error", "match"),
    [
        ("keras", fne.errors.NotInstalledError, r"Keras, which reads it, is not installed: pip.*model\.export"),
        ("tensorflow", fne.BackendUnavailableError, "tensorflow.*not installed: pip"),
    ],
)
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_what_is_not_installed(name, missing, error, match, tmp_path, monkeypatch, model):
    model.save(tmp_path / name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(error, match=match):
        fne.Model(tmp_path / name)


def test_without_h5py(tmp_path, monkeypatch, model):
    model.save(tmp_path / "model.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(fne.errors.NotInstalledError, match="HDF5 file.*h5py.*pip"):
        fne.Model(tmp_path / "model.h5")


def test_versions(tmp_path, model):
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        assert _keras_file._version(tmp_path / name) == keras.__version__


def test_checkpoints(tmp_path, model):
    saved = tf.train.Checkpoint(model=tf.Module()).save(tmp_path / "some" / "network")
    for path in (tmp_path / "some", saved):
        with pytest.raises(fne.GraphError, match=r"checkpoint: weights alone.*restore.*model\.export"):
            fne.Model(path)


def test_folders_that_are_no_models(tmp_path, model):
    (tmp_path / "empty").mkdir()
    with pytest.raises(fne.FileError, match="is empty.*saved_model.pb"):
        fne.Model(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    with pytest.raises(fne.FileError, match=r"no saved_model\.pb.*'notes\.txt'"):
        fne.Model(tmp_path / "other")
    model.save(tmp_path / "other" / "model.keras")
    model.export(tmp_path / "other" / "1", verbose=False)
    with pytest.raises(fne.FileError, match=r"pass one of those in it: '1', 'model\.keras'"):
        fne.Model(tmp_path / "other")
    fne.Model(tmp_path / "other" / "1").close()
    for name in ("nowhere", "n" * 300):
        with pytest.raises(fne.FileError, match=name):
            fne.Model(tmp_path / name)
