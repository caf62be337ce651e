"""A host's rounding mode, denormal modes and unmasked exceptions change no result, and are the host's again after
each call."""

from __future__ import annotations

import os
import re
import sys

import numpy as np
import pytest
from conftest import ROOT
from test_c import built, run

from fne._libpath import onnxruntime_library, tensorflow_library

MODES = ["down", "up", "zero", "ftz", "daz", "ftz+daz", "traps"]
# They only copy constants, or hand out what is there.
WITHOUT_ARITHMETIC = r"fne_\w+_init|fne_version_\w+|fne_abi_version|fne_build_info"


@pytest.fixture(scope="module")
def results(tmp_path_factory, graph, photographs):
    """Runs the program in a mode. Returns what its functions gave, by name."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("modes")
    with tf.Graph().as_default() as small:
        x = tf.compat.v1.placeholder(tf.float32, [None, 48, 64, 3], "input")
        weights = np.random.default_rng(3).normal(0, 1, (3, 3, 3, 16)).astype(np.float32)
        y = tf.nn.relu(tf.nn.conv2d(x, 1e-20 * weights, 2, "SAME", name="conv"), "relu")
        tf.nn.conv2d(y, 1e-24 * weights[:1, :1].repeat(6, 2)[:, :, :16], 1, "SAME", name="second")
    (folder / "small.pb").write_bytes(small.as_graph_def().SerializeToString())
    remarked = folder / "remarked.jpg"  # bytes before a marker, which libjpeg remarks on
    jpeg = photographs[0].read_bytes()
    end = 4 + int.from_bytes(jpeg[4:6], "big")  # of the first segment
    remarked.write_bytes(jpeg[:end] + b"\1\2\3" + jpeg[end:])
    program = built(ROOT / "Tests/c/float_environment.c", folder / "program")
    environment = dict(
        os.environ,
        FNE_TENSORFLOW=os.path.dirname(tensorflow_library()),
        FNE_ONNXRUNTIME=os.path.dirname(onnxruntime_library()),
    )

    def collect(mode):
        out = folder / mode
        out.mkdir()
        done = run(program, mode, graph, folder / "small.pb", out, remarked, *photographs[:6], env=environment)
        assert done.returncode == 0, (mode, done.returncode, done.stderr)
        progress, image_errors, log_lines, notices = map(int, done.stdout.split())
        assert progress > 20 and image_errors >= 7 and log_lines > 1 and notices > 0
        data, place, found = (out / "results").read_bytes(), 0, []
        while place < len(data):
            end = data.index(b"\n", place)
            name, size = data[place:end].decode().rsplit(" ", 1)
            found.append((f"{len(found)}: {name}", data[end + 1 : end + 1 + int(size)]))
            place = end + 1 + int(size)
        return dict(found)

    return collect


@pytest.fixture(scope="module")
def default(results):
    return results("nearest")


def test_every_function_is_called():
    header = set(re.findall(r"^FNE_API [\w *]*?(fne_\w+)\(", (ROOT / "include/fne.h").read_text(), re.MULTILINE))
    called = set(re.findall(r"\b(fne_\w+)\(", (ROOT / "Tests/c/float_environment.c").read_text()))
    assert {name for name in header - called if not re.fullmatch(WITHOUT_ARITHMETIC, name)} == set()


def test_the_cases_are_denormal(default):
    """The numbers of which the modes could make others are there."""
    features = next(np.frombuffer(value, np.float32) for name, value in default.items() if "denormal features" in name)
    tiny = np.finfo(np.float32).tiny
    assert np.mean((np.abs(features) < tiny) & (features != 0)) > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_modes(results, default, mode):
    found = results(mode)
    assert list(found) == list(default)
    assert [name for name in default if found[name] != default[name]] == []


PROGRAM = """
import ctypes, sys
import numpy as np
import fne
libm = ctypes.CDLL("libm.so.6")
function, value, out, graph, *images = sys.argv[1:]
extractor = fne.Extractor(graph, size=(48, 64))
assert getattr(libm, function)(int(value)) == 0
features = extractor.extract(images).features
now = {"fesetround": libm.fegetround, "feenableexcept": libm.fegetexcept}[function]()
libm.fesetenv(ctypes.c_void_p(-1))  # the default, for NumPy and Python's end
assert now == int(value), now
np.save(out, features)
"""


@pytest.mark.parametrize(
    ("function", "value"), [("fesetround", 0x400), ("fesetround", 0x800), ("feenableexcept", 0x1D)]
)
def test_python(tmp_path, graph, photographs, function, value):
    """In a Python program: another rounding, or exceptions for what is invalid, infinite or too large."""
    rows = []
    for number, argument in enumerate((0, value)):
        out = tmp_path / f"{number}.npy"
        result = run(sys.executable, "-c", PROGRAM, function, argument, out, graph, *photographs[:6])
        assert result.returncode == 0, result.stderr
        rows.append(np.load(out))
    np.testing.assert_array_equal(*rows)
