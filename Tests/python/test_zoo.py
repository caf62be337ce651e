"""The default network: its weights give the classes they should, and its conversion is faithful."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import fne
from fne import _cache
from fne.zoo import _torch_file

GOLDEN = ROOT / "Tests/golden/efficientnet_lite0_logits.npz"


def test_logits_equal_pytorchs(lite0):
    """Against the same weights run by PyTorch (Tests/golden/efficientnet_lite0.py made the file)."""
    golden = np.load(GOLDEN)
    with fne.Extractor(lite0, layers=["logits"]) as extractor:
        paths = {Path(path).name: path for path in fne.zoo.sample_images()}
        pixels = [fne.resize(fne.read_image(paths[name]), (224, 224)) for name in golden["names"]]
        tensor = np.stack(pixels).astype(np.float32)
        logits = extractor.extract(tensor).features
    np.testing.assert_allclose(logits, golden["logits"], atol=1e-4)


@pytest.mark.parametrize(
    "photograph, classes",
    [
        ("chelsea.png", {285, 282, 281}),  # Egyptian cat, tiger cat, tabby
        ("coffee.png", {967, 504, 968}),  # espresso, coffee mug, cup
        ("china.jpg", {442, 832, 663}),  # bell cote, stupa, monastery
        ("flower.jpg", {985}),  # daisy
        ("motorcycle_left.png", {665, 670}),  # moped, motor scooter
    ],
)
def test_classes_of_photographs(lite0, photograph, classes):
    path = next(path for path in fne.zoo.sample_images() if path.endswith(photograph))
    with fne.Extractor(lite0, layers=["probabilities"]) as extractor:
        probabilities = extractor.extract([path]).features[0]
    assert int(probabilities.argmax()) in classes
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


# ---- the same network on either engine


def test_the_engines_agree(lite0, photographs):
    """The same layers under the same names, and the same codes but for what the last bits decide."""
    onnx = fne.zoo.efficientnet_lite0("onnxruntime")
    models = fne.Model(lite0), fne.Model(onnx)
    assert [model.engine for model in models] == ["tensorflow", "onnxruntime"]
    layers = [[(layer.name, layer.kind, layer.channels) for layer in model.layers()] for model in models]
    assert layers[0] == layers[1] and len(layers[0]) == 49
    paths = [*photographs, *fne.zoo.sample_images()]
    codes = []
    for model in models:
        with fne.Extractor(model) as extractor:
            rows = extractor.extract(paths).features
        statistics = fne.Statistics(rows.shape[1]).update(rows)
        codes.append(fne.ternarize(rows, statistics.mean(), statistics.std()))
    assert codes[0].shape == (len(paths), 21_008) and np.mean(codes[0] == codes[1]) >= 0.9999
    with fne.Extractor(models[1], layers=["block4/*", "logits"]) as extractor:
        assert [layer.name for layer in extractor.layers][-2:] == ["block4/project/BiasAdd", "logits"]


def test_the_onnx_file_is_sound(lite0):
    """By the checks of the package onnx, and by its logits in Python's onnxruntime."""
    import onnx
    import onnxruntime

    path = fne.zoo.efficientnet_lite0("onnxruntime")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape == ["n", 224, 224, 3]
    images = [fne.resize(fne.read_image(file), (224, 224)) for file in fne.zoo.sample_images()]
    (found,) = session.run(None, {"input": np.stack(images).astype(np.float32)})
    with fne.Extractor(lite0, layers=["probabilities"]) as extractor:
        np.testing.assert_allclose(found, extractor.extract(images).features, atol=1e-5)


def test_the_engine_that_is_there_is_taken(monkeypatch):
    from fne.zoo import _efficientnet

    for installed, suffix in [
        ({"tensorflow", "onnxruntime"}, ".pb"),
        ({"tensorflow"}, ".pb"),
        ({"onnxruntime"}, ".onnx"),
        (set(), ".pb"),
    ]:
        monkeypatch.setattr(_efficientnet, "is_installed", installed.__contains__)
        assert fne.zoo.efficientnet_lite0().suffix == suffix
    assert fne.zoo.efficientnet_lite0("onnxruntime").suffix == ".onnx"
    with pytest.raises(ValueError, match="engine is 'torch'; it must be one of 'tensorflow', 'onnxruntime'"):
        fne.zoo.efficientnet_lite0("torch")


#: Runs a program in a process that finds no tensorflow, and fails where one is imported or loaded.
WITHOUT = """
import os, runpy, sys
os.environ.pop("FNE_TENSORFLOW", None)

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
import importlib.util
original = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "tensorflow" else original(name, *rest)
sys.argv = sys.argv[1:]
if sys.argv[0] == "doctor":
    from fne._command import main
    main(sys.argv)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
assert "tensorflow" not in sys.modules and "onnxruntime" not in sys.modules
assert "libtensorflow" not in open("/proc/self/maps").read()
"""


def test_the_demo_needs_no_tensorflow(tmp_path):
    command = [sys.executable, "-c", WITHOUT, ROOT / "examples/demo.py", "--output", tmp_path / "demo.npz"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0 and "Warning" not in result.stderr, result.stderr
    assert "engine      onnxruntime" in result.stdout and "49 (33 convolution, 16 depthwise)" in result.stdout
    assert np.load(tmp_path / "demo.npz")["codes"].shape == (8, 21_008)


def test_the_doctor_is_content_with_one_engine():
    result = subprocess.run([sys.executable, "-c", WITHOUT, "doctor"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "  TensorFlow   is not installed; pip install fne[tensorflow], or set FNE_TENSORFLOW to the library" in lines
    assert "  a network    runs on ONNX Runtime" in lines and "TensorFlow\n" not in result.stdout


def test_restricted_unpickler_runs_nothing():
    class Evil:
        def __reduce__(self):
            return os.system, ("echo broken > /tmp/fne-evil",)

    with pytest.raises(pickle.UnpicklingError, match="posix.system, which is not allowed"):
        _torch_file.read_state_dict(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="older format"):
        _torch_file.read_state_dict(pickle.dumps(5))


def torch_file(offset=0, shape=(2, 3), strides=(3, 1), count=6, name="weight", extra=b"", tensors=1):
    """A file with tensors on one storage, as torch.save wrote it before version 1.6."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):
        def persistent_id(self, item):
            return ("storage", Named("torch FloatStorage"), "0", "cpu", count) if isinstance(item, Storage) else None

        def save(self, item, **given):
            if isinstance(item, Named):
                self.write(b"c" + item.replace(" ", "\n").encode() + b"\n")
            elif isinstance(item, Tensor):
                self.save(Named("torch._utils _rebuild_tensor_v2"))
                self.save((storage, offset, shape, strides, False, None))
                self.write(b"R")
            else:
                super().save(item, **given)

    class Named(str):
        pass

    class Tensor:
        pass

    storage = Storage()
    state = io.BytesIO()
    Pickler(state, 2).dump({f"{name}{number}": Tensor() for number in range(tensors)})
    parts = [pickle.dumps(part, 2) for part in (_torch_file._MAGIC, 1001, {})]
    numbers = np.arange(6, dtype="<f4").tobytes()
    return b"".join([*parts, extra or state.getvalue(), pickle.dumps(["0"], 2), (6).to_bytes(8, "little"), numbers])


def test_a_tensor_is_a_part_of_its_storage():
    read = _torch_file.read_state_dict(torch_file())["weight0"]
    np.testing.assert_array_equal(read, np.float32([[0, 1, 2], [3, 4, 5]]))
    read = _torch_file.read_state_dict(torch_file(strides=(1, 2)))["weight0"]
    np.testing.assert_array_equal(read, np.float32([[0, 2, 4], [1, 3, 5]]))
    read = _torch_file.read_state_dict(torch_file(offset=4, shape=(2, 1), strides=(1, 77)))["weight0"]
    np.testing.assert_array_equal(read, np.float32([[4], [5]]))
    assert _torch_file.read_state_dict(torch_file(offset=5, shape=(), strides=()))["weight0"] == 5


@pytest.mark.parametrize(
    "facts, message",
    [
        ({"shape": (1 << 15, 1 << 15), "strides": (0, 0)}, "overlap or leave gaps"),
        ({"shape": (1 << 30,), "strides": (0,)}, "overlap or leave gaps"),
        ({"shape": (5, 2), "strides": (1, 1)}, "overlap or leave gaps"),
        ({"strides": (2, 1)}, "overlap or leave gaps"),
        ({"strides": (-3, 1)}, "at least 0"),
        ({"offset": -1}, "at least 0"),
        ({"shape": (2.0, 3.0)}, "must be integers"),
        ({"shape": (2, True), "strides": (1, 1)}, "must be integers"),
        ({"offset": 1}, "beyond its storage"),
        ({"shape": (1 << 40, 1 << 40), "strides": (1 << 40, 1)}, "beyond its storage"),
        ({"shape": (2, 3), "strides": (3,)}, "damaged"),
        ({"shape": 6, "strides": 1}, "damaged"),
        ({"count": 1 << 40}, "truncated"),
        ({"extra": b"N" + b"r" + b"\xff" * 4 + b"."}, "more memory"),
        ({"extra": b"Np4294967295\n."}, "more memory"),
        ({"extra": b"\x96" + (1 << 33).to_bytes(8, "little") + b"."}, "damaged"),
        ({"extra": pickle.dumps(5)}, "damaged"),
        ({"extra": b"]."}, "damaged"),
    ],
)
def test_tensors_that_a_file_does_not_hold(facts, message):
    """Hundreds of bytes are a clear error, and take no memory of which they only speak."""
    data = torch_file(**facts)
    assert len(data) < 600
    tracemalloc.start()
    try:
        with pytest.raises(pickle.UnpicklingError, match=message) as caught:
            _torch_file.read_state_dict(data)
        assert isinstance(caught.value, fne.FNEError) and tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_tensors_share_the_memory_of_their_storage():
    read = _torch_file.read_state_dict(torch_file(tensors=1000))
    assert len(read) == 1000 and np.shares_memory(read["weight0"], read["weight999"])


def test_truncated_weights_are_noticed():
    from fne.zoo._efficientnet import _weights

    data = _weights()
    assert len(_torch_file.read_state_dict(data)) > 200
    with pytest.raises(pickle.UnpicklingError, match="truncated"):
        _torch_file.read_state_dict(data[:-5])


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("FNE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fne.zoo.cache_folder() == tmp_path / "xdg/fne"
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "own"))
    assert fne.zoo.cache_folder() == tmp_path / "own"


def test_a_failed_conversion_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path))

    def fail():
        raise RuntimeError("no weights")

    with pytest.raises(RuntimeError):
        _cache.cached("network.pb", fail)
    assert list(tmp_path.iterdir()) == []
    assert _cache.cached("network.pb", lambda: b"graph").read_bytes() == b"graph"
    assert _cache.cached("network.pb", fail).read_bytes() == b"graph"


@pytest.mark.parametrize("mask, rights", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_in_the_cache_have_the_usual_rights(monkeypatch, tmp_path, mask, rights):
    """So that others can read a shared cache."""
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "new"))
    before = os.umask(mask)
    try:
        path = _cache.cached("network.pb", lambda: b"graph")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == rights and os.listdir(path.parent) == ["network.pb"]


def test_a_cache_that_cannot_be_used(monkeypatch, tmp_path):
    way_out = "set FNE_CACHE to a folder that you can write to"

    def refused(message):
        with pytest.raises(fne.FileError, match=f"{message}.*{way_out}"):
            _cache.cached("network.pb", lambda: b"graph")

    (tmp_path / "file").touch()
    for name in ("FNE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    refused("file/.cache/fne' cannot be used: Not a directory")
    monkeypatch.setenv("HOME", "/proc")
    refused("'/proc/.cache/fne' cannot be used: No such file")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("HOME", str(tmp_path))
    refused("cannot be written to")
    monkeypatch.undo()
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "full"))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    refused("full' cannot be used: No space left")
    assert os.listdir(tmp_path / "full") == []


def test_without_a_home_folder(monkeypatch, capsys):
    from fne._command import main

    for name in ("FNE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(fne.FileError, match="no home folder.* set FNE_CACHE"):
        fne.zoo.efficientnet_lite0()
    assert main(["doctor"]) == 1
    assert "there is no home folder\n               -> set FNE_CACHE" in capsys.readouterr().out


def _convert(folder):
    os.environ["FNE_CACHE"] = folder
    return fne.zoo.efficientnet_lite0().read_bytes()


def test_two_processes_at_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_convert, [str(tmp_path)] * 2)
    assert first == second and len(list(tmp_path.iterdir())) == 1
    assert len(fne.Model(first).layers()) == 49


def test_drop_in_example(tmp_path):
    """The original's `cd fne; python fne.py`, which writes ../outputs."""
    package = tmp_path / "checkout/fne"
    package.parent.mkdir()
    import shutil

    shutil.copytree(Path(fne.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = dict(os.environ, FNE_LIBRARY=str(ROOT / "build/lib/libfne.so.2"))
    result = subprocess.run([sys.executable, "fne.py"], cwd=package, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    features = np.load(tmp_path / "checkout/outputs/fne.npy")
    stats = np.load(tmp_path / "checkout/outputs/stats.npy")
    assert features.shape == (32, 21008) and stats.shape == (2, 21008)
    assert set(np.unique(features)) == {-1, 0, 1}


def test_both_imports():
    program = (
        "from fne import full_network_embedding as a; from fne.fne import full_network_embedding as b; assert a is b"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_sample_images_are_photographs():
    for path in fne.zoo.sample_images():
        image = fne.read_image(path)
        assert min(image.shape[:2]) >= 300 and len(np.unique(image)) > 100


def test_graph_writer_is_read_by_tensorflow(lite0):
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef.FromString(lite0.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    shapes = [graph.get_tensor_by_name(layer.name + ":0").shape.as_list() for layer in fne.Model(lite0).layers()]
    assert shapes[0] == [None, 112, 112, 32] and shapes[-1] == [None, 7, 7, 1280]
