"""Files that are no frozen GraphDef: each error says what the file is, and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

import fne


def keras_file(tmp_path, name, write):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    write(model, tmp_path / name)
    return (tmp_path / name).read_bytes()


def checkpoint(tmp_path, ending):
    """A file of a checkpoint that TensorFlow writes."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.nn.conv2d(x, tf.compat.v1.get_variable("w", [3, 3, 3, 4]), 1, "SAME")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    return next(path for path in tmp_path.iterdir() if path.name.endswith(ending)).read_bytes()


def saved_model(tmp_path):
    module = tf.Module()
    module.w = tf.Variable(np.ones((3, 3, 3, 4), np.float32))
    module.f = tf.function(lambda x: tf.nn.conv2d(x, module.w, 1, "SAME"), [tf.TensorSpec([None, 8, 8, 3])])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    return (tmp_path / "saved/saved_model.pb").read_bytes()


def tflite():
    function = tf.function(lambda x: tf.nn.relu(x), [tf.TensorSpec([1, 4])])
    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("network.pb"))
    return file.getvalue()


def message(*fields):
    """A protocol buffer of these numbers and contents."""
    return b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )


def varint(number):
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def safetensors():
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


def text_graph():
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="input", op="Placeholder")
    return text_format.MessageToString(graph).encode()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)  # how PyTorch before 1.6 begins a file
ONNX = message((1, 8), (2, b"pytorch"), (3, b"2.1"), (7, message((2, b"main_graph"))), (8, message((2, 17))))
CORE_ML = message((1, 4), (2, message((1, message((1, b"image"))))), (500, message((1, b""))))

# The bytes, and what the error says: what they are, and the way out.
FILES = {
    "lfs": (lambda t: LFS, "Git LFS", "git lfs pull"),
    "page": (lambda t: b"\n <!DOCTYPE html><html><head><title>404</title></head></html>", "web page", "Download"),
    "page in capitals": (lambda t: b"<HTML><BODY>Not found", "web page", "Download"),
    "gzip": (lambda t: gzip.compress(b"graph"), "gzip", "gunzip"),
    "bzip2": (lambda t: bz2.compress(b"graph"), "bzip2", "bunzip2"),
    "xz": (lambda t: lzma.compress(b"graph"), "xz file", "unxz"),
    "7z": (lambda t: b"7z\xbc\xaf\x27\x1c\0\4" + bytes(30), "7z archive", "7z x"),
    "zip": (lambda t: zipped("network.pb"), "ZIP archive", "unzip"),
    "tar": (lambda t: tarred(), "tar archive", "tar -xf"),
    "keras": (lambda t: keras_file(t, "m.keras", lambda m, p: m.save(p)), "Keras model", "keras.models.load_model"),
    "h5": (lambda t: keras_file(t, "m.h5", lambda m, p: m.save(p)), "Keras model", "keras.models.load_model"),
    "weights": (
        lambda t: keras_file(t, "m.weights.h5", lambda m, p: m.save_weights(p)),
        "weights alone",
        "load_weights",
    ),
    "index": (lambda t: checkpoint(t, ".index"), "checkpoint", "convert_variables_to_constants"),
    "list of checkpoints": (lambda t: checkpoint(t, "checkpoint"), "checkpoint", "convert_variables_to_constants"),
    "meta": (lambda t: checkpoint(t, ".meta"), "MetaGraph of a checkpoint", "import_meta_graph"),
    "saved_model.pb": (saved_model, "SavedModel", "folder"),
    "torch": (lambda t: zipped("archive/data.pkl", "archive/data/0"), "PyTorch", "fne.fne_torch"),
    "old torch": (lambda t: OLD_TORCH, "PyTorch", "fne.fne_torch"),
    "safetensors": (lambda t: safetensors(), "safetensors", "Keras model"),
    "tflite": (lambda t: tflite(), "TensorFlow Lite", "Freeze"),
    "onnx": (lambda t: ONNX, "the ONNX model is empty", "Export it again"),
    "core ml": (lambda t: CORE_ML, "Core ML", "Freeze"),
    "png": (lambda t: b"\x89PNG\r\n\x1a\n" + bytes(30), "an image", "network's file"),
    "jpeg": (lambda t: b"\xff\xd8\xff\xe0" + bytes(30), "an image", "network's file"),
    "npy": (lambda t: b"\x93NUMPY\1\0" + bytes(30), "NumPy array", "network's file"),
    "json": (lambda t: b' {"class_name": "Functional"}', "JSON", "holds no weights"),
    "text": (lambda t: "layer norm\nein Netz für Bäume\n".encode(), "text file", "network's file"),
    "pbtxt": (lambda t: text_graph(), "text format", "text_format.Parse"),
    "empty graph": (lambda t: message((4, message((1, 1882)))), "has no nodes", "Freeze"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_error_says_what_it_is_and_what_to_do(tmp_path, kind):
    make, what, way_out = FILES[kind]
    data = make(tmp_path)
    path = tmp_path / "network.pb"
    path.write_bytes(data)
    # Keras reads its own files where they are. Their bytes are none of them.
    for source in (data,) if kind in {"keras", "h5", "weights"} else (data, path):
        with pytest.raises(fne.GraphError) as caught:
            fne.Model(source)
        said = str(caught.value)
        assert what in said and way_out in said, said
        assert not isinstance(caught.value, fne.UnsafeGraphError) and "allow_unsafe" not in said
    assert source is data or str(path) in said


def test_the_weights_of_a_checkpoint_are_known_by_their_name(tmp_path):
    checkpoint(tmp_path, ".index")
    with pytest.raises(fne.GraphError, match="part of a TensorFlow checkpoint") as caught:
        fne.Model(tmp_path / "model.ckpt.data-00000-of-00001")
    assert "convert_variables_to_constants" in str(caught.value)


def test_an_empty_file(tmp_path):
    (tmp_path / "network.pb").write_bytes(b"")
    with pytest.raises(fne.FileError, match="network.pb: the file is empty"):
        fne.Model(tmp_path / "network.pb")
    with pytest.raises(fne.GraphError, match="empty"):
        fne.Model(b"")


def test_parts_of_these_files_are_errors(tmp_path):
    """A file that is cut anywhere, or of a single byte over and over, is an error and ends nothing."""
    for make, _, _ in FILES.values():
        data = make(tmp_path)
        for size in (1, 2, 3, 7, 8, 9, 12, len(data) // 2, len(data) - 1):
            with pytest.raises(fne.GraphError):
                fne.Model(data[: max(size, 1)])


def test_a_graph_is_not_taken_for_another_kind():
    """A name of a node may hold any mark that stands at a place of its own."""
    for mark in ("ustar", "TFL3", "data.pkl", "model_config", "model.weights.h5", "git-lfs"):
        for padding in range(260):
            changed = tf.compat.v1.GraphDef()
            changed.node.add(name="x" * (padding + 1) + mark, op="NoOp")
            assert len(fne.Model(changed.SerializeToString()).tensors()) == 1
